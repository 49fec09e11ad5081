"""FrameExit (Ghodrati et al., CVPR 2021): processes a clip frame by frame, with an exit gate after every step.

Each frame gives one backbone feature; a running maximum over frames is the only state; each step has a gate and a
classifier. Parameter names are those of the authors' release, so their state dict loads unchanged. The parts invert the
authors' polarity: a gate's value is one minus their sigmoid, so a high value means exit. ``1 - s > 0.5`` holds exactly
where the original's ``s < 0.5`` does, including rounding, for every float32 except 0.5 - 2**-25; NaN never exits.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from ...errors import UsageError
from .. import part
from ..network import Network
from ..preprocess.shorter_side import MEAN, STD, Crop, Preprocess, PreprocessSpec

AUTHORS_ORDER = (5, 0, 9, 2, 7, 4, 6, 3, 8, 1)


@dataclass(frozen=True)
class HeadSize:
    """Sizes of the layers after the backbone; ``hidden`` is the length of the state."""

    hidden: int
    gate_widths: tuple[int, int]
    classes: int
    frames: int


class Embedding(nn.Module):
    """Linear layer, batch norm and ReLU: ``[n, features]`` to nonnegative ``[n, hidden]``."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, hidden), nn.BatchNorm1d(hidden), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class Gate(nn.Module):
    """The authors' gate: a sigmoid computed from the features accumulated after and before a frame; low means exit."""

    def __init__(self, hidden: int, widths: tuple[int, int]) -> None:
        super().__init__()
        first, second = widths
        self.conv1 = nn.Conv2d(hidden, first, 1)
        self.conv2 = nn.Conv2d(first, second, 1)
        self.bn1 = nn.BatchNorm2d(first)
        self.bn2 = nn.BatchNorm2d(second)
        self.linear = nn.Linear(2 * second, 1)

    def forward(self, state: Tensor, previous: Tensor) -> Tensor:
        return torch.sigmoid(self.logit(state, previous))

    def logit(self, state: Tensor, previous: Tensor) -> Tensor:
        """Return the value before the sigmoid, ``[n, 1]``."""
        out: Tensor = self.linear(torch.cat([self._embed(state), self._embed(previous)], dim=1))
        return out

    def _embed(self, state: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(state[:, :, None, None])))
        return torch.relu(self.bn2(self.conv2(x))).flatten(1)


class FrameExit(Network):
    """FrameExit. ``exit_selector`` holds one gate per step after the first; the authors never use the last one."""

    family = "frameexit"
    architecture = "frameexit"

    def __init__(
        self,
        backbone: nn.Sequential,
        features: int,
        head: HeadSize,
        *,
        name: str,
        input_size: int,
        paper_gmacs_per_frame: float | None,
    ) -> None:
        super().__init__(name, head.classes, input_size)
        self.backbone = backbone
        self.mlp = Embedding(features, head.hidden)
        self.exit_selector = nn.ModuleList(Gate(head.hidden, head.gate_widths) for _ in range(head.frames - 1))
        self.classifiers = nn.ModuleList(nn.Linear(head.hidden, head.classes) for _ in range(head.frames))
        self.head = head
        self.paper_gmacs_per_frame = paper_gmacs_per_frame

    @property
    def frame_order(self) -> tuple[int, ...]:
        """Index of each step's frame among the sampled frames."""
        return frame_order(self.head.frames)

    @property
    def preprocessing(self) -> PreprocessSpec:
        crops: tuple[Crop, ...] = ("center_half_to_even",)
        return PreprocessSpec(
            self.input_size, self.input_size, "shorter_side_bilinear_truncated", crops, "rgb", MEAN, STD
        )

    def parts(self) -> tuple[part.Part, ...]:
        """Return the subgraphs in execution order; steps are numbered from 1."""
        frames = part.PartTensor("frames", "uint8", ("n", "height", "width", 3))
        pixels = part.PartTensor("pixels", "float32", ("n", 3, self.input_size, self.input_size))
        feature = part.PartTensor("features", "float32", ("n", self.head.hidden))
        before, state = (part.PartTensor(name, "float32", ("n", self.head.hidden)) for name in ("previous", "state"))
        logits = part.PartTensor("logits", "float32", ("n", self.head.classes))
        gate = part.PartTensor("gate", "float32", ("n", 1))
        return (
            part.Part("preprocess", Preprocess(self.input_size), (frames,), pixels),
            part.Part("backbone", _Features(self.backbone, self.mlp), (pixels,), feature),
            part.Part("accumulator", _Maximum(), (feature, before), state),
            *(
                part.Part(f"gate_{step:02d}", _ExitValue(self.exit_selector[step - 2]), (state, before), gate)
                for step in range(2, self.head.frames)
            ),
            *(
                part.Part(f"classifier_{step:02d}", classifier, (state,), logits)
                for step, classifier in enumerate(self.classifiers, start=1)
            ),
        )

    def parts_by_name(self, names: Collection[str]) -> dict[str, part.Part]:
        known = {each.name: each for each in self.parts()}
        if unknown := set(names) - set(known):
            raise UsageError(f"{self.name} has no part {min(unknown)!r}", "export the checkpoint again")
        return {name: each for name, each in known.items() if name in names}


class _Features(nn.Module):
    def __init__(self, backbone: nn.Module, mlp: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.mlp = mlp

    def forward(self, pixels: Tensor) -> Tensor:
        out: Tensor = self.mlp(self.backbone(pixels).flatten(1))
        return out


class _Maximum(nn.Module):
    # Features are nonnegative, so an initial state of zeros does not change them.
    def forward(self, features: Tensor, previous: Tensor) -> Tensor:
        return torch.maximum(features, previous)


class _ExitValue(nn.Module):
    def __init__(self, gate: nn.Module) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, state: Tensor, previous: Tensor) -> Tensor:
        out: Tensor = 1 - self.gate(state, previous)
        return out


def frame_order(frames: int) -> tuple[int, ...]:
    """Return the coarse-to-fine order in which ``frames`` sampled frames are read.

    For 10 frames, it is the list hard-coded in the authors' evaluation. For other numbers, which their loop does not
    support, it follows the rule in the paper's appendix A: the middle, the first, the last, then repeatedly the middle
    of the widest remaining gap (the leftmost in case of a tie).
    """
    if frames == len(AUTHORS_ORDER):
        return AUTHORS_ORDER
    order = list(dict.fromkeys((frames // 2, 0, frames - 1)))
    while len(order) < frames:
        seen = sorted(order)
        width, left = max(((b - a), -a) for a, b in pairwise(seen))
        order.append(-left + width // 2)
    return tuple(order)
