"""Compare a checkpoint's tensors with those of a network, and report all mismatches."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch

from ...errors import CheckpointError
from ..network import Network

Tensors = Mapping[str, torch.Tensor]
MAX_LISTED = 3  # maximum number of tensors listed in an error message per kind of mismatch
N = TypeVar("N", bound=Network)


def mismatches(actual: Tensors, expected: Tensors) -> dict[str, list[str]]:
    """Return mismatches by kind: the names of missing and unexpected tensors, and descriptions of misshaped ones."""
    both = [name for name in expected if name in actual]
    kinds = {
        "missing": [name for name in expected if name not in actual],
        "unexpected": [name for name in actual if name not in expected],
        "of a different shape or type": [
            f"{name} is {_text(actual[name])} but should be {_text(expected[name])}"
            for name in both
            if _text(actual[name]) != _text(expected[name])
        ],
    }
    return {kind: names for kind, names in kinds.items() if names}


def check_compatible(path: Path, network: str, actual: Tensors, expected: Tensors) -> None:
    """Check that names, shapes and types match and that all values are finite.

    Raises:
        CheckpointError: they do not; the message lists the first few tensors with each kind of problem.
    """
    problems = [
        f"{len(names)} {kind} ({', '.join(names[:MAX_LISTED])}{', ...' if len(names) > MAX_LISTED else ''})"
        for kind, names in mismatches(actual, expected).items()
    ]
    if problems:
        raise CheckpointError(
            f"{path} has keys that do not match {network}: {'; '.join(problems)}", "use the authors' file"
        )
    broken = [name for name, tensor in actual.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise CheckpointError(
            f"{path} has NaN or infinite values in {', '.join(broken[:MAX_LISTED])}", "train or download it again"
        )


def load_strictly(path: Path, network: N, state: Tensors) -> N:
    """Return ``network`` in evaluation mode with the tensors of ``state``, which it shares; see `check_compatible`.

    Raises:
        CheckpointError: the tensors do not match, or are not finite.
    """
    check_compatible(path, network.name, state, network.state_dict())
    network.load_state_dict(state, assign=True)
    return network.eval()


def _text(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
