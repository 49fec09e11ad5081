"""FrameExit (Ghodrati et al., CVPR 2021): processes a video frame by frame, with an exit gate after every step.

Each frame yields one backbone feature; a running maximum over frames is the only state; each step has a gate and a
classifier. With a backbone of 3D convolutions, a step reads a short clip instead of a frame. Parameter names are those
of the authors' release, so their state dict loads unchanged. The parts invert the authors' polarity: a gate's value is
one minus their sigmoid, so a high value means exit. ``1 - s > 0.5`` holds exactly where the original's ``s < 0.5``
does, including rounding, for every float32 except 0.5 - 2**-25; NaN never exits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...errors import UsageError
from .. import part
from ..network import FittableGates, Network
from ..preprocess.shorter_side import MEAN, STD, Crop, Preprocess, PreprocessSpec
from .backbone import ClipInput
from .frame_order import frame_order
from .heads import ExitValue, Gate, Heads

GATES_PREFIX = "exit_selector."


@dataclass(frozen=True)
class HeadSize:
    """Sizes of the layers that follow the backbone; ``hidden`` is the length of the state."""

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


class FrameExit(Network):
    """FrameExit. ``exit_selector`` contains one gate per step after the first; the authors never use the last gate."""

    family = "frameexit"
    architecture = "frameexit"

    def __init__(
        self,
        backbone: nn.Module,
        features: int,
        head: HeadSize,
        *,
        name: str,
        input_size: int,
        paper_gmacs_per_frame: float | None,
        clip_input: ClipInput | None = None,
    ) -> None:
        super().__init__(name, head.classes, input_size)
        self.backbone = backbone
        self.mlp = Embedding(features, head.hidden)
        self.exit_selector = nn.ModuleList(Gate(head.hidden, head.gate_widths) for _ in range(head.frames - 1))
        self.classifiers = nn.ModuleList(nn.Linear(head.hidden, head.classes) for _ in range(head.frames))
        self.head = head
        self.paper_gmacs_per_frame = paper_gmacs_per_frame
        self.clip_frames = 1 if clip_input is None else clip_input.frames
        self._rules = None if clip_input is None else clip_input.rules(input_size)

    def trunk_sha256(self) -> str:
        """Return the SHA-256 of all tensors except the gates', including their names, types and shapes."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.state_dict().items()):
            if not name.startswith(GATES_PREFIX):
                digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
                digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def fittable_gates(self) -> FittableGates:
        return FittableGates(self.head.hidden, self.head.gate_widths, self.head.frames, self.trunk_sha256())

    @property
    def frame_order(self) -> tuple[int, ...]:
        """Index of each step's frame among the sampled frames."""
        return frame_order(self.head.frames)

    @property
    def preprocessing(self) -> PreprocessSpec:
        if self._rules is not None:
            return self._rules.spec
        crops: tuple[Crop, ...] = ("center_half_to_even",)
        return PreprocessSpec(
            self.input_size, self.input_size, "shorter_side_bilinear_truncated", crops, "rgb", MEAN, STD
        )

    def parts(self) -> tuple[part.Part, ...]:
        """Return the subgraphs in execution order; ``step`` is the step of each row, numbered from 1."""
        frame = (3, self.input_size, self.input_size)
        shape = frame if self.clip_frames == 1 else (self.clip_frames, *frame)
        pixels = part.PartTensor("pixels", "float32", ("n", *shape))
        feature = part.PartTensor("features", "float32", ("n", self.head.hidden))
        before, state = (part.PartTensor(name, "float32", ("n", self.head.hidden)) for name in ("previous", "state"))
        step = part.PartTensor("step", "float32", ("n", 1))
        logits = part.PartTensor("logits", "float32", ("n", self.head.classes))
        gate = part.PartTensor("gate", "float32", ("n", 1))
        gates = Heads(map(ExitValue, self.exit_selector[: self.head.frames - 2]), 2, 1)
        classifiers = Heads(self.classifiers, 1, self.head.classes)
        return (
            self._preprocess(),
            part.Part("backbone", _Features(self.backbone, self.mlp), (pixels,), feature),
            part.Part("accumulator", _Maximum(), (feature, before), state),
            *([part.Part("gates", gates, (state, before, step), gate)] if len(gates.by_step) else []),
            part.Part("classifiers", classifiers, (state, step), logits),
        )

    def _preprocess(self) -> part.Part:
        if self._rules is not None:
            return self._rules.part
        frames = part.PartTensor("frames", "uint8", ("n", "height", "width", 3))
        pixels = part.PartTensor("pixels", "float32", ("n", 3, self.input_size, self.input_size))
        return part.Part("preprocess", Preprocess(self.input_size), (frames,), pixels)

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
