"""X3D-XS, -S and -M as networks for single clips, in the layouts of SlowFast and PyTorchVideo.

All three have the same parameters; they differ in the number of frames and the size of a clip, which the weights do not
reveal: 4 frames of 160 x 160 (XS), 13 of 160 x 160 (S, the default), 16 of 224 x 224 (M). In evaluation mode, SlowFast
averages the softmax over the positions of its pooling window, whereas PyTorchVideo averages the logits; at the default
size, there is only one position. The logits of a network loaded from a SlowFast file are the logarithm of the averaged
softmax.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import CheckpointError
from ..checkpoint.by_size import SizedRecognizer, class_counts, have_prefixes
from ..checkpoint.read import StateDict
from ..checkpoint.recognizer import NoMatch
from ..ffn.base import FrameFlexible
from ..network import Network
from ..part import Part
from ..preprocess.multi_crop import CropRules
from ..preprocess.shorter_side import PreprocessSpec
from .layers import (
    BLOCKS,
    INPUT_SIZE,
    LARGE_INPUT_SIZE,
    STAGES,
    Trunk,
    TrunkSize,
    block_counts,
    trunk_layers,
    trunk_size,
)
from .layouts import SPATIAL, with_slowfast_names

FRAMES = 13
_TEST_SIZES = {INPUT_SIZE: 182, LARGE_INPUT_SIZE: 256}
# SlowFast's model zoo: name, frames and size
_PUBLISHED_GMACS = {("x3d", 4, 160): 0.6, ("x3d", FRAMES, 160): 1.96, ("x3d", 16, 224): 4.73}
_CLASSIFIER = "head.projection.weight"
_CLASSES = 400  # number of classes in Kinetics-400, if the classifier does not reveal it
_S = TrunkSize(24, (24, 48, 96, 192), (54, 108, 216, 432), (8, 8, 16, 32), 432, 2048, shortcut_norm=True)


@dataclass(frozen=True)
class X3DSize:
    """Size of the trunk, and number of classes."""

    trunk: TrunkSize
    classes: int

    @property
    def name(self) -> str:
        """``x3d`` for the published size, otherwise followed by all channel counts."""
        usual = replace(self.trunk, shortcut_norm=True) == _S
        return "x3d" if usual else "_".join(map(str, ("x3d", self.trunk.stem, *self.trunk.widths)))


def x3d_size(shapes: Mapping[str, torch.Size]) -> X3DSize:
    """Derive the size from the parameter shapes, under SlowFast's names.

    Raises:
        KeyError: a required parameter is missing; the key is its name.
        IndexError: a weight is a scalar.
    """
    return X3DSize(trunk_size(shapes), shapes[_CLASSIFIER][0])


def preprocessing(input_size: int) -> CropRules:
    """Return the preprocessing of SlowFast's test loader.

    There is one centered crop at the training size (10 views of a video), or three crops along the longer side at the
    larger test size (30 views). In both cases, the shorter side is resized to the test size.
    """
    if input_size in _TEST_SIZES.values():
        return CropRules(input_size, (0, 1, 2), "rgb")
    return CropRules(input_size, (1,), "rgb", _TEST_SIZES.get(input_size, input_size))


class X3D(FrameFlexible):
    """X3D on clips of normalized RGB: ``[n, frames, 3, h, w]`` to logits ``[n, classes]``."""

    architecture = "x3d"
    sampling = "temporal_views"
    temporal_views = 10
    view_mean = "probabilities"
    only_fp32 = True

    @property
    def default_counts(self) -> tuple[int, ...]:
        return (self.recorded_frames or FRAMES,)

    def __init__(self, size: X3DSize, input_size: int | None = None) -> None:
        super().__init__(size.name, size.classes, {}, input_size or INPUT_SIZE)
        # Only SlowFast's files have this norm, and only SlowFast averages probabilities.
        self.averages_probabilities = size.trunk.shortcut_norm
        for name, layer in trunk_layers(size.trunk).items():
            self.add_module(name, layer)
        self.get_submodule("head").add_module("projection", nn.Linear(size.trunk.features, size.classes))

    def published_gmacs(self, frames: int) -> float | None:
        return _PUBLISHED_GMACS.get((self.name, frames, self.input_size))

    @property
    def preprocessing(self) -> PreprocessSpec:
        return preprocessing(self.input_size).spec

    def preprocess(self) -> Part:
        return preprocessing(self.input_size).part

    def _assemble(self, layers: Mapping[str, nn.Module], frames: int) -> nn.Module:  # noqa: ARG002
        return _Clips(Trunk(layers), averages_probabilities=self.averages_probabilities)


class _Clips(nn.Module):
    def __init__(self, trunk: Trunk, *, averages_probabilities: bool) -> None:
        super().__init__()
        self.trunk = trunk
        self.averages_probabilities = averages_probabilities

    def forward(self, pixels: Tensor) -> Tensor:
        positions = self.trunk(pixels).permute(0, 2, 3, 4, 1)
        logits: Tensor = self.trunk.get_submodule("head.projection")(positions)
        count = logits.shape[1:4].numel()
        if count == 1:
            return logits.flatten(1)
        if self.averages_probabilities:
            return torch.logsumexp(functional.log_softmax(logits, dim=-1), (1, 2, 3)) - math.log(count)
        return logits.mean((1, 2, 3))


class X3DRecognizer(SizedRecognizer[X3DSize]):
    """Recognizes X3D in both layouts; PyTorchVideo's names are replaced by SlowFast's."""

    def recognize(self, path: Path, state: StateDict, input_size: int | None) -> Network | NoMatch:
        state = with_slowfast_names(state)
        if SPATIAL in state and (blocks := block_counts(state)) != BLOCKS:
            found = ", ".join(map(str, blocks))
            raise CheckpointError(
                f"{path} holds an X3D network with stages of {found} blocks, such as X3D-L",
                f"use X3D-XS, -S or -M, which have {', '.join(map(str, BLOCKS))}",
            )
        return super().recognize(path, state, input_size)


def _is_likely(names: Collection[str]) -> bool:
    return have_prefixes(names, (SPATIAL, *(f"s{stage}.pathway0_res0." for stage in STAGES)))


def _published(state: StateDict) -> Iterator[X3DSize]:
    norm = any(".pathway0_res0.branch1_bn." in name for name in state if name.startswith(f"s{STAGES[0]}."))
    for classes in class_counts(state, (_CLASSIFIER,), _CLASSES):
        yield X3DSize(replace(_S, shortcut_norm=norm), classes)


RECOGNIZER = X3DRecognizer(
    title="X3D",
    is_likely=_is_likely,
    size=x3d_size,
    published=_published,
    build=X3D,
)
