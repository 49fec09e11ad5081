"""Base class of the Frame Flexible Networks (FFN, Zhang et al., CVPR 2023; github.com/BeSpontaneous/FFN-pytorch, MIT).

A frame-flexible network is a plain network with separate norms for each branch, whose residual blocks scale their input
by one factor per channel and branch (the adaptation). The modules contain all branches under the authors' names
(``bn_4``, ``bn_8``, ``bn_16``; just ``bn`` in a plain network). Inference runs a view of one branch, without suffixes
and without the other branches, so plain and frame-flexible networks share one definition, and every tensor without a
suffix is the same object in all views. The suffix names a branch, not a number of frames. See NOTICE for the license of
the original.
"""

from __future__ import annotations

import copy
import re
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ...errors import UsageError
from .. import part
from ..network import Network

PLAIN = ("",)
_MAX_FRAMES = 128
_OF_A_BRANCH = re.compile(r"_(?:4|8|16)$")
_PREPROCESS = "preprocess"
_PART = re.compile(r"frames_(0\d|[1-9]\d+)")


class Adaptation(nn.Module):
    """``x + adaconv(x)`` for ``[n, channels, ...]``, where adaconv is a depthwise 1x1 convolution without bias.

    This module contains the convolution's weight, for images (``axes`` 2) or clips (3). In a view of one branch, it is
    replaced with a `Scale`, unless the view is trainable.
    """

    def __init__(self, channels: int, axes: int = 3) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels, 1, *[1] * axes))

    def forward(self, x: Tensor) -> Tensor:
        return x * (1 + self.weight[:, 0])


class Scale(nn.Module):
    """A frozen adaptation, which multiplies each channel of ``[n, channels, ...]`` by ``1 + weight``."""

    scale: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", 1 + weight.detach()[:, 0])

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class FrameFlexible(Network):
    """A network that runs at several frame counts; subclasses define and connect the layers.

    ``branches`` are the frame counts with separate norms and adaptations (none in a plain network); ``sampling`` is the
    name of the rule that samples a clip's frames from a video, ``temporal_views`` is the number of clips sampled, and
    ``view_mean`` states how the outputs of several clips or crops are averaged. ``only_fp32`` is true if no conversion
    to another precision has been tested.
    """

    family = "frame_counts"
    sampling: ClassVar[Literal["segment_centres", "rounded_segments", "temporal_views"]]
    temporal_views: ClassVar[int] = 1
    view_mean: ClassVar[Literal["logits", "probabilities"]] = "logits"
    frame_multiple: ClassVar[int] = 1
    only_fp32: ClassVar[bool] = False

    def __init__(self, name: str, classes: int, suffixes: Mapping[int, str], input_size: int) -> None:
        """``suffixes`` maps each branch's frame count to its suffix; ``input_size`` is the height and width."""
        super().__init__(name, classes, input_size)
        self.branches = tuple(suffixes)
        self._suffixes = dict(suffixes)

    def branch(self, frames: int) -> int:
        """Return the branch for ``frames`` frames: the nearest one, or the larger of two equally near ones; 0 if plain.

        This is the rule in the original TSM, the only original that runs at any frame count. The original SlowFast and
        Uniformer support only their three counts, for which the rule gives the same result.

        Raises:
            UsageError: the network cannot run at ``frames`` frames.
        """
        self._require(frames)
        return min(self.branches, key=lambda branch: (abs(branch - frames), -branch), default=0)

    def at(self, frames: int, branch: int | None = None) -> nn.Module:
        """Return the module for clips of ``frames`` frames, float32 ``[n, frames, 3, h, w]`` to ``[n, classes]``.

        Args:
            frames: length of the clips.
            branch: one of ``branches``; None selects ``branch(frames)``.

        Raises:
            UsageError: the network cannot run at ``frames`` frames, or has no such branch.
        """
        chosen = self.branch(frames) if branch is None else branch
        if chosen not in (self.branches or (0,)):
            raise UsageError(
                f"{self.name} has no branch for {chosen} frames", f"choose one of {list(self.branches) or [0]}"
            )
        self._require(frames)
        return self._assemble(one_branch(self, self._suffixes.get(chosen, "")), frames).eval()

    def published_gmacs(self, frames: int) -> float | None:  # noqa: ARG002
        """Return the published cost of one view at a frame count, in giga multiply-accumulates; None if unknown."""
        return None

    @property
    def default_counts(self) -> tuple[int, ...]:
        """Frame counts to export if none are requested; empty if they must be requested."""
        return self.branches

    @abstractmethod
    def preprocess(self) -> part.Part:
        """Return the part that converts decoded frames into the network's pixels, including all crops of each frame."""

    def trainable_at(self, frames: int) -> nn.Module:
        """Return the module that ``at`` returns, but in training mode and with trainable adaptations.

        The module shares its submodules with the network, so a later call to ``at`` switches both to evaluation mode.

        Raises:
            UsageError: the network cannot run at ``frames`` frames.
        """
        suffix = self._suffixes.get(self.branch(frames), "")
        return self._assemble(one_branch(self, suffix, trainable=True), frames).train()

    def parts(self, frames: Sequence[int]) -> tuple[part.Part, ...]:
        """Return one part per frame count (``frames_04`` and so on) from normalized clips to logits.

        Raises:
            UsageError: ``frames`` is empty, has duplicates, or includes a count that the network cannot run at.
        """
        if not frames or len(set(frames)) < len(frames):
            raise UsageError(f"the frame counts {list(frames)} are not distinct", "pass one or more distinct counts")
        return tuple(self._part(count) for count in frames)

    def parts_by_name(self, names: Collection[str]) -> dict[str, part.Part]:
        own = {_PREPROCESS} & set(names)
        found = {name: match for name in names if (match := _PART.fullmatch(name))}
        if unknown := set(names) - own - set(found):
            raise UsageError(f"{self.name} has no part {min(unknown)!r}", "export the checkpoint again")
        parts = [self.preprocess()] if own else []
        parts += [self._part(int(match[1])) for match in found.values()]
        return {each.name: each for each in parts}

    def forward(self, pixels: Tensor) -> Tensor:
        out: Tensor = self.at(pixels.shape[1])(pixels)
        return out

    def _part(self, frames: int) -> part.Part:
        module = self.at(frames)
        pixels = part.PartTensor("pixels", "float32", ("n", frames, 3, self.input_size, self.input_size))
        logits = part.PartTensor("logits", "float32", ("n", self.classes))
        return part.Part(f"frames_{frames:02d}", module, (pixels,), logits)

    def _require(self, frames: int) -> None:
        if not 1 <= frames <= _MAX_FRAMES:
            raise UsageError(f"{self.name} cannot run at {frames} frames", f"choose a count from 1 to {_MAX_FRAMES}")
        if frames % self.frame_multiple:
            raise UsageError(
                f"{self.name} cannot run at {frames} frames", f"choose a multiple of {self.frame_multiple}"
            )

    @abstractmethod
    def _assemble(self, layers: Mapping[str, nn.Module], frames: int) -> nn.Module:
        """Return the module that runs ``layers``, the network's children in one branch, on ``frames`` frames."""


def add_branches(parent: nn.Module, name: str, suffixes: Sequence[str], make: Callable[[], nn.Module]) -> None:
    """Add one child per branch to ``parent``; its name is ``name`` plus the branch's suffix."""
    for suffix in suffixes:
        parent.add_module(name + suffix, make())


def add_adaptation(parent: nn.Module, suffixes: Sequence[str], channels: int, axes: int = 3) -> None:
    """Add a child ``adaconv`` per branch to ``parent``; it is an identity in a plain network."""
    plain = tuple(suffixes) == PLAIN
    add_branches(parent, "adaconv", suffixes, nn.Identity if plain else lambda: Adaptation(channels, axes))


def one_branch(module: nn.Module, suffix: str, *, trainable: bool = False) -> dict[str, nn.Module]:
    """Return the children of ``module`` in the branch with this ``suffix``, by name without the suffix.

    Modules with children are shallow copies; leaf modules and all tensors are shared with ``module``. Each `Adaptation`
    becomes a `Scale` with its current weight, unless ``trainable`` is true.
    """
    return {
        name.removesuffix(suffix): _view(child, suffix, trainable)
        for name, child in module.named_children()
        if (found := _OF_A_BRANCH.search(name)) is None or found[0] == suffix
    }


def _view(module: nn.Module, suffix: str, trainable: bool) -> nn.Module:
    if isinstance(module, Adaptation) and not trainable:
        return Scale(module.weight)
    if not module._modules:
        return module
    view = copy.copy(module)
    view._modules = dict(one_branch(module, suffix, trainable=trainable))
    return view
