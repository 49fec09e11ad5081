"""Base of TSM and TEA: a ResNet on single frames whose blocks exchange information between the frames of a clip.

The frames of a clip are part of the batch: the trunk runs on ``[n * frames, channels, h, w]``, and each block receives
the number of frames per clip. The classifier outputs logits for each frame; the logits of a clip are their mean.
Parameter names and the tensors of each branch are those of FFN's release (github.com/BeSpontaneous/FFN-pytorch, MIT;
see NOTICE).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from .. import part
from ..checkpoint.by_size import class_counts, have_prefixes
from ..checkpoint.read import StateDict
from ..preprocess.pillow import PreprocessTsm, preprocess_spec
from ..preprocess.shorter_side import PreprocessSpec, views_part
from ..resnet import BY_NAME, ResNetSize, conv
from .base import PLAIN, FrameFlexible, add_branches

INPUT_SIZE = 224
_SUFFIXES = {4: "_4", 8: "_8", 16: "_16"}
_MOTION_EXCITATION = ".me."
_CLASSES = 1  # number of classes if the classifier does not reveal it
Suffixes = Sequence[str]


@dataclass(frozen=True)
class FlexibleResNetSize:
    """Size of a TSM or TEA network; ``flexible`` distinguishes FFN's form from the plain one."""

    trunk: ResNetSize
    classes: int
    flexible: bool


def is_likely(names: Collection[str], *, motion_excitation: bool) -> bool:
    """Return whether parameters with these names belong to TSM or, with ``motion_excitation``, to TEA."""
    stages = have_prefixes(names, (f"base_model.{stage}." for stage in BY_NAME.stages))
    return stages and motion_excitation == any(_MOTION_EXCITATION in name for name in names)


def published_sizes(state: StateDict, trunks: Sequence[ResNetSize]) -> Iterator[FlexibleResNetSize]:
    """Yield the published trunks, plain and frame-flexible, with the number of classes found in ``state``."""
    for trunk in trunks:
        for flexible in (True, False):
            for classes in class_counts(state, ("new_fc.bias", "new_fc.weight"), _CLASSES):
                yield FlexibleResNetSize(trunk, classes, flexible)


@dataclass(frozen=True)
class BlockSize:
    """Input channels, inner width and output channels of a block; ``first`` marks the first block of a stage."""

    inputs: int
    width: int
    outputs: int
    stride: int
    first: bool


class FlexibleResNet(FrameFlexible):
    """A TSM or TEA network, with the trunk ``base_model`` and the classifier ``new_fc``."""

    sampling = "segment_centres"

    def __init__(
        self,
        size: FlexibleResNetSize,
        make_block: Callable[[BlockSize, Suffixes], nn.Module],
        input_size: int | None = None,
    ) -> None:
        suffixes = _SUFFIXES if size.flexible else {}
        name = f"{self.architecture}{'_ffn' * size.flexible}_{size.trunk.name}"
        super().__init__(name, size.classes, suffixes, input_size or INPUT_SIZE)
        self.base_model = Trunk(size.trunk, make_block, tuple(suffixes.values()) or PLAIN)
        self.new_fc = nn.Linear(size.trunk.features, size.classes)

    @property
    def preprocessing(self) -> PreprocessSpec:
        return preprocess_spec(self.input_size)

    def preprocess(self) -> part.Part:
        return views_part([PreprocessTsm(self.input_size)], self.input_size)

    def _assemble(self, layers: Mapping[str, nn.Module], frames: int) -> nn.Module:
        return _OnClips(layers["base_model"], layers["new_fc"], frames)


class _OnClips(nn.Module):
    """One branch for clips of one length: float32 ``[n, frames, 3, h, w]`` to logits ``[n, classes]``."""

    def __init__(self, base_model: nn.Module, new_fc: nn.Module, frames: int) -> None:
        super().__init__()
        self.base_model = base_model
        self.new_fc = new_fc
        self.frames = frames

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.new_fc(self.base_model(pixels.flatten(0, 1), self.frames))
        return by_clip(logits, self.frames).mean(1)


class Trunk(nn.Module):
    """The ResNet without its classifier; ``forward`` works only in a view of one branch.

    Pooling is adaptive. The original TEA pools 7 x 7 positions, which is equivalent at the only input size it supports.
    """

    bn1: nn.Module

    def __init__(
        self, size: ResNetSize, make_block: Callable[[BlockSize, Suffixes], nn.Module], suffixes: Suffixes
    ) -> None:
        super().__init__()
        self.conv1 = conv(3, size.stem_width, size.stem_kernel, stride=2)
        add_branches(self, "bn1", suffixes, partial(nn.BatchNorm2d, size.stem_width))
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.ModuleList(make_block(block, suffixes) for block in stage) for stage in _blocks(size)
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in stage:
                x = block(x, frames)
        out: Tensor = self.avgpool(x).flatten(1)
        return out


def _blocks(size: ResNetSize) -> list[list[BlockSize]]:
    stages: list[list[BlockSize]] = []
    inputs = size.stem_width
    for number, (blocks, width) in enumerate(zip(size.blocks, size.widths)):
        outputs = width * size.expansion
        first = BlockSize(inputs, width, outputs, stride=1 if number == 0 else 2, first=True)
        stages.append([first, *[BlockSize(outputs, width, outputs, stride=1, first=False)] * (blocks - 1)])
        inputs = outputs
    return stages


def add_shortcut(block: nn.Module, size: BlockSize, suffixes: Suffixes) -> None:
    """Add shortcut layers to ``block`` if needed; their names differ between the plain and flexible forms."""
    if size.stride == 1 and size.inputs == size.outputs:
        return
    layer, norm = conv(size.inputs, size.outputs, 1, size.stride), partial(nn.BatchNorm2d, size.outputs)
    if tuple(suffixes) == PLAIN:
        block.add_module("downsample", nn.Sequential(layer, norm()))
    else:
        block.add_module("downsample_conv", layer)
        add_branches(block, "downsample_bn", suffixes, norm)


def shortcut(block: nn.Module, x: Tensor) -> Tensor:
    """Apply the shortcut of ``block``, a view of one branch, to ``x``."""
    for name in ("downsample", "downsample_conv", "downsample_bn"):
        if name in block._modules:
            x = block.get_submodule(name)(x)
    return x


def by_clip(x: Tensor, frames: int) -> Tensor:
    """Reshape ``[n * frames, ...]`` to ``[n, frames, ...]``."""
    return x.reshape(-1, frames, *x.shape[1:])


def from_next(clips: Tensor) -> Tensor:
    """Return ``[n, frames, c, h, w]`` with each frame replaced by the next one, and the last by zeros."""
    return then_zeros(clips[:, 1:])


def from_previous(clips: Tensor) -> Tensor:
    """Return ``[n, frames, c, h, w]`` with each frame replaced by the previous one, and the first by zeros."""
    return functional.pad(clips[:, :-1], (0, 0, 0, 0, 0, 0, 1, 0))


def then_zeros(clips: Tensor) -> Tensor:
    """Return ``[n, frames, c, h, w]`` with a frame of zeros appended."""
    return functional.pad(clips, (0, 0, 0, 0, 0, 0, 0, 1))
