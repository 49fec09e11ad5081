"""Small FrameExit networks for tests."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from vbench.models.frameexit.efficientnet import EfficientNetSize, StageSize
from vbench.models.frameexit.network import FrameExit, HeadSize
from vbench.models.resnet import ResNetSize, resnet_trunk

TINY_TRUNK = ResNetSize("basic", (1, 1, 1, 1), (4, 8, 8, 16), stem_width=4, stem_kernel=7, expansion=1)
GATE_BIAS = 1.0
B3_STAGES = ((24, 3, 2, 1), (32, 3, 3, 6), (48, 5, 3, 6), (96, 3, 5, 6), (136, 5, 5, 6), (232, 5, 6, 6), (384, 3, 2, 6))
TINY_HEAD = HeadSize(hidden=24, gate_widths=(8, 4), classes=5, frames=10)


def tiny_network(head: HeadSize = TINY_HEAD, seed: int = 0) -> FrameExit:
    """A random network that separates clips: its gates fall on both sides of their threshold."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = FrameExit(
            resnet_trunk(TINY_TRUNK), TINY_TRUNK.features, head, name="tiny", input_size=32, paper_gmacs_per_frame=None
        )
        for name, tensor in network.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
            elif name.endswith("running_mean"):
                tensor.normal_(0, 0.1)
            elif name.endswith("weight") and tensor.dim() > 1:
                # torch's initialization shrinks the signal from layer to layer
                tensor.mul_(2.5)
            elif name.endswith("linear.bias"):
                tensor.fill_(GATE_BIAS)
    return network.eval()


def b3_size() -> EfficientNetSize:
    """EfficientNet-B3."""
    stages, inputs = [], 40
    for width, kernel, blocks, expansion in B3_STAGES:
        ins = [inputs, *[width] * (blocks - 1)]
        stages.append(
            StageSize(width, kernel, blocks, tuple(i * expansion for i in ins), tuple(max(1, i // 4) for i in ins))
        )
        inputs = width
    return EfficientNetSize(40, tuple(stages), 1536)


def noise_clips(frames: int, _sampling: str = "linspace") -> Iterator[list[np.ndarray]]:
    """Deterministic calibration frames: three noise videos with increasing contrast."""
    rng = np.random.default_rng(0)
    for contrast in (64, 128, 256):
        yield list(rng.integers(0, contrast, (frames, 40, 50, 3), dtype=np.uint8))


def save_checkpoint(network: FrameExit, path: Path, prefix: str = "module.") -> None:
    """Write the network in the authors' format: a bare state dict of a DataParallel model."""
    torch.save(OrderedDict((prefix + name, tensor) for name, tensor in network.state_dict().items()), path)
