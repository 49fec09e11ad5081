"""Write checkpoints in the format of FrameExit's authors."""

from __future__ import annotations

from collections import OrderedDict
from io import BytesIO
from pathlib import Path

import torch

from ..models.checkpoint.read import StateDict


def write_checkpoint(path: Path, state: StateDict) -> None:
    """Write a state dict as in the authors' release, where names start with ``module.``.

    Raises:
        OSError: the file cannot be written; ``torch.save`` itself reports a full disk as a RuntimeError without errno.
    """
    content = BytesIO()
    torch.save(OrderedDict((f"module.{name}", tensor) for name, tensor in state.items()), content)
    path.write_bytes(content.getbuffer())
