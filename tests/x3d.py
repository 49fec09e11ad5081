"""X3D for tests: golden checkpoints and clips, and a narrow network."""

from __future__ import annotations

import functools
import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.golden.x3d import make_checkpoint, make_clips
from vbench.models.frameexit.backbone import ClipInput
from vbench.models.frameexit.network import FrameExit, HeadSize
from vbench.models.frameexit.x3d import X3DFeatures
from vbench.models.frameexit.x3d import _center_crop as center_crop
from vbench.models.x3d import layers, network
from vbench.models.x3d.layers import TrunkSize, trunk_layers
from vbench.models.x3d.network import FRAMES, X3D, X3DSize

FOLDER = Path(__file__).parent / "golden" / "x3d"
ORIGINALS = json.loads((FOLDER / "golden.json").read_text())
NARROW = TrunkSize(4, (4, 4, 6, 8), (6, 6, 8, 10), (2, 2, 3, 4), 10, 12, shortcut_norm=True)
SIZE = 32
SHALLOW = (2, 1, 1, 1)  # blocks of each stage, with and without squeeze-and-excitation
N = TypeVar("N", bound=nn.Module)


@functools.cache
def golden() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "golden.npz") as arrays:
        return dict(arrays)


def save(layout: str, folder: Path, seed: int = 0) -> Path:
    """Write a full-size checkpoint in one of the layouts, as its authors wrap it."""
    arrays = make_checkpoint.arrays(layout, seed, None)
    if seed == ORIGINALS["checkpoint_seed"]:
        assert make_checkpoint.digest(arrays) == ORIGINALS["tensors_sha256"][layout]
    state = OrderedDict(
        (name, torch.from_numpy(np.ascontiguousarray(a)).reshape(a.shape)) for name, a in arrays.items()
    )
    path = folder / f"x3d_{layout}_{seed}.pyth"
    torch.save(state if layout.startswith("frameexit") else {"epoch": 299, "model_state": state}, path)
    return path


def clip(video: int, number: int = 0, size: int = 160) -> Tensor:
    """Normalized pixels of a golden clip, ``[1, 13, 3, size, size]``."""
    pixels = make_clips.uint8_clip(ORIGINALS["clip_seed"], video, number, size)
    return torch.from_numpy(make_clips.model_input(pixels)).transpose(1, 2)


def video(number: int) -> np.ndarray:
    """Normalized pixels of the ten clips of a golden video, ``[10, 13, 3, 160, 160]``, in temporal order."""
    clips = make_clips.frameexit_video(ORIGINALS["clip_seed"], number)
    return np.ascontiguousarray(clips.transpose(0, 2, 1, 3, 4))


def narrow(size: TrunkSize = NARROW, input_size: int = SIZE) -> X3D:
    """A random narrow network."""
    with seeded():
        return randomized(X3D(X3DSize(size, 5), input_size))


def narrow_frameexit() -> FrameExit:
    """A random narrow FrameExit of three steps, each with a clip of 13 frames."""
    head = HeadSize(hidden=16, gate_widths=(8, 4), classes=5, frames=3)
    with seeded():
        trunk = X3DFeatures(trunk_layers(NARROW))
        frameexit = FrameExit(
            trunk,
            NARROW.features,
            head,
            name="narrow",
            input_size=SIZE,
            paper_gmacs_per_frame=None,
            clip_input=ClipInput(FRAMES, center_crop),
        )
        return randomized(frameexit)


@contextmanager
def shallow() -> Iterator[None]:
    """Build and recognize an X3D of few blocks, whose export takes a fraction of the time."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (layers, network):
            patch.setattr(module, "BLOCKS", SHALLOW)
        yield


def pytorchvideo_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename tensors from SlowFast's names to PyTorchVideo's; the first shortcut's norm has no counterpart."""
    renamed = {make_checkpoint.pytorchvideo_name(name): tensor for name, tensor in state.items()}
    return {name: tensor for name, tensor in renamed.items() if name is not None}


@contextmanager
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def randomized(module: N) -> N:
    """Give batch norms random statistics, so that an omitted one is noticed."""
    for name, tensor in module.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith("running_mean"):
            tensor.normal_(0, 0.1)
        elif name.endswith("weight") and tensor.dim() > 1:
            tensor.mul_(2.5)  # torch's initialization shrinks the signal from layer to layer
    return module.eval()
