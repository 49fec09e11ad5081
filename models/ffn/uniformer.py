"""Uniformer (Li et al., ICLR 2022), plain and frame-flexible, under the parameter names of FFN's release.

Two stages of convolution blocks are followed by two stages of attention blocks over all positions in space and time;
the number of frames is halved once, in the first layer. Pixels are BGR, because the original decodes with OpenCV and
does not reorder channels. The original has no softmax: a video's score is the sum of the logits of its crops.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..checkpoint.by_size import SizedRecognizer, class_counts, have_prefixes
from ..checkpoint.read import StateDict
from ..part import Part
from ..preprocess.multi_crop import UNIFORMER
from ..preprocess.shorter_side import PreprocessSpec
from .base import PLAIN, FrameFlexible, add_branches
from .uniformer_layers import HEAD_WIDTH, AttentionBlock, ConvBlock, PatchEmbed

_STAGES = (1, 2, 3, 4)
_SUFFIXES = {4: "_4", 8: "_8", 16: "_16"}
_INPUT_SIZE = 224
_CLASSES = 174  # number of classes in Something-Something V1, if the classifier does not reveal it


@dataclass(frozen=True)
class UniformerSize:
    """Channels and number of blocks in each of the four stages; ``flexible`` selects FFN's form."""

    classes: int
    flexible: bool
    widths: tuple[int, ...] = (64, 128, 320, 512)
    depths: tuple[int, ...] = (3, 4, 8, 3)

    @property
    def name(self) -> str:
        """``uniformer_s`` for the size in FFN's release, otherwise a name with all sizes; plus ``_ffn`` if flexible."""
        usual = (self.widths, self.depths) == ((64, 128, 320, 512), (3, 4, 8, 3))
        size = "s" if usual else "_".join(f"{depth}x{width}" for depth, width in zip(self.depths, self.widths))
        return f"uniformer_{size}{'_ffn' * self.flexible}"


def uniformer_size(shapes: Mapping[str, torch.Size]) -> UniformerSize:
    """Derive the size from the parameter shapes.

    Raises:
        KeyError: a required parameter is missing; the key is its name.
        IndexError: a weight is a scalar.
    """
    return UniformerSize(
        classes=shapes["head.weight"][0],
        flexible=any(".norm1_" in name or ".adaconv_" in name for name in shapes),
        widths=tuple(shapes[f"patch_embed{stage}.proj.weight"][0] for stage in _STAGES),
        depths=tuple(_depth(shapes, stage) for stage in _STAGES),
    )


def _depth(shapes: Mapping[str, torch.Size], stage: int) -> int:
    beginning, end = f"blocks{stage}.", ".pos_embed.weight"
    count = sum(name.startswith(beginning) and name.endswith(end) for name in shapes)
    if not count:
        raise KeyError(f"{beginning}0{end}")
    return count


class Uniformer(FrameFlexible):
    """Uniformer with all branches. Clips are normalized BGR of any length; the original applies no softmax."""

    architecture = "uniformer"
    sampling = "rounded_segments"

    def __init__(self, size: UniformerSize, input_size: int | None = None) -> None:
        """Build the network with random weights.

        Raises:
            ValueError: the last two stages would have a fractional number of attention heads.
        """
        if any(width % HEAD_WIDTH for width in size.widths[2:]):
            raise ValueError(f"the widths of attention blocks, {size.widths[2:]}, are not multiples of {HEAD_WIDTH}")
        super().__init__(size.name, size.classes, _SUFFIXES if size.flexible else {}, input_size or _INPUT_SIZE)
        suffixes = tuple(_SUFFIXES.values()) if size.flexible else PLAIN
        inputs = 3
        for stage, width, depth in zip(_STAGES, size.widths, size.depths):
            block = ConvBlock if stage < 3 else AttentionBlock
            self.add_module(f"patch_embed{stage}", PatchEmbed(_embedding(stage, inputs, width), suffixes))
            self.add_module(f"blocks{stage}", nn.ModuleList(block(width, suffixes) for _ in range(depth)))
            inputs = width
        add_branches(self, "norm", suffixes, partial(nn.BatchNorm3d, inputs))
        self.head = nn.Linear(inputs, size.classes)

    @property
    def preprocessing(self) -> PreprocessSpec:
        return replace(UNIFORMER, size=self.input_size).spec

    def preprocess(self) -> Part:
        return replace(UNIFORMER, size=self.input_size).part

    def _assemble(self, layers: Mapping[str, nn.Module], frames: int) -> nn.Module:  # noqa: ARG002
        return _UniformerBranch(layers)


class _UniformerBranch(nn.Module):
    """Uniformer with one branch: normalized BGR clips ``[n, t, 3, h, w]`` to logits ``[n, classes]``."""

    norm: nn.Module
    head: nn.Module
    preceding_affine: ClassVar[dict[str, str]] = {"head": "norm"}

    def __init__(self, layers: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.head(self.pooled(pixels))
        return logits

    def pooled(self, pixels: Tensor) -> Tensor:
        """Return the input of the classifier, ``[n, width]``."""
        x = pixels.transpose(1, 2)
        for stage in _STAGES:
            x = self.get_submodule(f"patch_embed{stage}")(x)
            for block in self.get_submodule(f"blocks{stage}").children():
                x = block(x)
        normed: Tensor = self.norm(x)
        return normed.mean((2, 3, 4))


def _embedding(stage: int, inputs: int, width: int) -> nn.Conv3d:
    if stage == 1:
        return nn.Conv3d(inputs, width, (3, 4, 4), (2, 4, 4), (1, 0, 0))
    return nn.Conv3d(inputs, width, (1, 2, 2), (1, 2, 2))


def _published(state: StateDict) -> Iterator[UniformerSize]:
    for flexible in (True, False):
        for classes in class_counts(state, ("head.weight",), _CLASSES):
            yield UniformerSize(classes, flexible)


RECOGNIZER = SizedRecognizer(
    title="Uniformer",
    is_likely=partial(have_prefixes, prefixes=("patch_embed1.", "blocks1.", "blocks4.")),
    size=uniformer_size,
    published=_published,
    build=Uniformer,
    lookalikes=(
        ("patch_embed1.", "a Uniformer checkpoint with whole stages missing"),
        ("blocks1.0.", "a Uniformer checkpoint with whole stages missing"),
        ("patch_embed.", "a video transformer such as MViT"),
    ),
)
