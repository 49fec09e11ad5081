"""What the Frame Flexible Networks have in common (FFN, Zhang et al., CVPR 2023; github.com/BeSpontaneous/FFN).

A frame-flexible network is a plain one whose norms exist once per branch and whose residual blocks scale their input by
one factor per channel and branch (the adaptation). Modules here hold all branches under the authors' names (``bn_4``,
``bn_8``, ``bn_16``; in a plain network just ``bn``). What runs is a view of one branch, in which the names have lost
their suffix and the other branches are gone, so that plain and frame-flexible networks share one definition and every
tensor without a suffix is the same object in all views. The suffix names a branch, not a number of frames.
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
    """``x + adaconv(x)`` of ``[n, channels, ...]``, adaconv a depthwise convolution of kernel 1 without bias.

    It holds the convolution's weight, for pictures (``axes`` 2) or clips (3); a view of one branch has a `Scale` in its
    place, unless it is there to be trained.
    """

    def __init__(self, channels: int, axes: int = 3) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels, 1, *[1] * axes))

    def forward(self, x: Tensor) -> Tensor:
        return x * (1 + self.weight[:, 0])


class Scale(nn.Module):
    """What is left of an adaptation: one factor ``1 + weight`` per channel of ``[n, channels, ...]``."""

    scale: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", 1 + weight.detach()[:, 0])

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class FrameFlexible(Network):
    """A network that runs clips of several frame counts; subclasses hold the layers and say how they are wired.

    ``branches`` are the frame counts that have norms and adaptations of their own, none in a plain network;
    ``sampling`` names the rule by which a clip's frames are taken out of a video.
    """

    family = "frame_counts"
    sampling: ClassVar[Literal["segment_centres", "rounded_segments"]]
    frame_multiple: ClassVar[int] = 1

    def __init__(self, name: str, classes: int, suffixes: Mapping[int, str], input_size: int) -> None:
        """Take for ``suffixes`` the suffix of every branch by its frame count, for ``input_size`` height and width."""
        super().__init__(name, classes, input_size)
        self.branches = tuple(suffixes)
        self._suffixes = dict(suffixes)

    def branch(self, frames: int) -> int:
        """Return the branch for ``frames`` frames: the nearest, of two equally near ones the larger; 0 if plain.

        The rule is that of the original's TSM, which alone runs at any frame count; the original's SlowFast and
        Uniformer know their three counts only, for which this is the same.

        Raises:
            UsageError: the network cannot run at ``frames`` frames.
        """
        self._require(frames)
        return min(self.branches, key=lambda branch: (abs(branch - frames), -branch), default=0)

    def at(self, frames: int, branch: int | None = None) -> nn.Module:
        """Return what runs on clips of exactly ``frames`` frames, float32 ``[n, frames, 3, h, w]`` to ``[n, classes]``.

        Args:
            frames: length of the clips.
            branch: one of ``branches``; None takes that of ``branch(frames)``.

        Raises:
            UsageError: the network cannot run at ``frames`` frames, or has no such branch.
        """
        chosen = self.branch(frames) if branch is None else branch
        if chosen not in (self.branches or (0,)):
            raise UsageError(f"{self.name} has no branch for {chosen} frames", f"it has {list(self.branches)}")
        self._require(frames)
        return self._assemble(one_branch(self, self._suffixes.get(chosen, "")), frames).eval()

    @abstractmethod
    def preprocess(self) -> part.Part:
        """Return the part that makes the network's pixels of frames as they were decoded, every crop of each."""

    def trainable_at(self, frames: int) -> nn.Module:
        """Return what ``at`` returns, in training mode and with the adaptations themselves, so that they can learn.

        The modules are the network's own: a later call of ``at`` puts them into evaluation mode for both.

        Raises:
            UsageError: the network cannot run at ``frames`` frames.
        """
        suffix = self._suffixes.get(self.branch(frames), "")
        return self._assemble(one_branch(self, suffix, trainable=True), frames).train()

    def parts(self, frames: Sequence[int]) -> tuple[part.Part, ...]:
        """Return one part per frame count, ``frames_04`` and so on, from normalised clips to logits.

        Raises:
            UsageError: no frame count, one given twice, or one that the network cannot run at.
        """
        if not frames or len(set(frames)) < len(frames):
            raise UsageError(f"frame counts {list(frames)}", "give at least one, and each only once")
        return tuple(self._part(count) for count in frames)

    def parts_by_name(self, names: Collection[str]) -> dict[str, part.Part]:
        """Return ``preprocess``, and a part for each frame count that a name such as ``frames_04`` has."""
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
            raise UsageError(f"{self.name} cannot run at {frames} frames", f"give 1 to {_MAX_FRAMES}")
        if frames % self.frame_multiple:
            raise UsageError(f"{self.name} cannot run at {frames} frames", f"give a multiple of {self.frame_multiple}")

    @abstractmethod
    def _assemble(self, layers: Mapping[str, nn.Module], frames: int) -> nn.Module:
        """Return the module that runs ``layers`` (this network's children, of one branch) on ``frames`` frames."""


def add_branches(parent: nn.Module, name: str, suffixes: Sequence[str], make: Callable[[], nn.Module]) -> None:
    """Give ``parent`` one child per branch: ``name`` and the branch's suffix."""
    for suffix in suffixes:
        parent.add_module(name + suffix, make())


def add_adaptation(parent: nn.Module, suffixes: Sequence[str], channels: int, axes: int = 3) -> None:
    """Give ``parent`` the child ``adaconv``, once per branch; in a plain network it does nothing and holds nothing."""
    plain = tuple(suffixes) == PLAIN
    add_branches(parent, "adaconv", suffixes, nn.Identity if plain else lambda: Adaptation(channels, axes))


def one_branch(module: nn.Module, suffix: str, *, trainable: bool = False) -> dict[str, nn.Module]:
    """Return the children of ``module`` by name without suffix, of the branch with this ``suffix`` alone.

    Modules with children are shallow copies, all others and all tensors are those of ``module``; every `Adaptation` is
    a `Scale` of its present weight, or itself if ``trainable``.
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
