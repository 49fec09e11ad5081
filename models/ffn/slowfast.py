"""SlowFast-R50 (Feichtenhofer et al., ICCV 2019), plain and frame-flexible, under the parameter names of FFN's release.

A slow pathway with many channels reads every fourth frame, and a fast pathway with few channels reads all frames. After
each stage except the last, the features of the fast pathway join those of the slow one. In evaluation mode, the
original returns probabilities; here, the softmax of the logits equals the original's output. The frame-flexible
network's logits are those of the classifier. The plain network averages the softmax over the positions of a pooling
window of the training size (2 x 2 positions at 256), so its logits are the logarithm of that average.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..checkpoint.by_size import SizedRecognizer, class_counts, have_prefixes
from ..checkpoint.read import StateDict
from ..part import Part
from ..preprocess.multi_crop import SLOWFAST
from ..preprocess.shorter_side import PreprocessSpec
from .base import PLAIN, FrameFlexible
from .slowfast_layers import Fuse, Stage, Stems

ALPHA = 4  # frames in the fast pathway per frame in the slow one
_FUSION_RATIO = 2  # output channels of a fusion per channel in the fast pathway
_STAGES = (2, 3, 4, 5)
_SLOW_KERNELS = (1, 1, 3, 3)
_FAST_KERNEL = 3
_STRIDE = 32
_WINDOW = 7  # pooling window of the plain network: the training crop, 224, over the stride, for any test crop
_SUFFIXES = {16: "_4", 32: "_8", 64: "_16"}
_INPUT_SIZE = 256
_CLASSES = 174  # number of classes in Something-Something V1, if the classifier does not reveal it


@dataclass(frozen=True)
class SlowFastSize:
    """Stem channels of both pathways, and number of blocks in each stage; ``flexible`` selects FFN's form."""

    classes: int
    flexible: bool
    slow_width: int = 64
    fast_width: int = 8
    blocks: tuple[int, ...] = (3, 4, 6, 3)

    @property
    def name(self) -> str:
        """``slowfast``, followed by the size if it differs from that in FFN's release, and by ``_ffn`` if flexible."""
        usual = (self.slow_width, self.fast_width, self.blocks) == (64, 8, (3, 4, 6, 3))
        size = "" if usual else "_" + "_".join(map(str, (self.slow_width, self.fast_width, *self.blocks)))
        return f"slowfast{size}{'_ffn' * self.flexible}"


def slowfast_size(shapes: Mapping[str, torch.Size]) -> SlowFastSize:
    """Derive the size from the parameter shapes.

    Raises:
        KeyError: a required parameter is missing; the key is its name.
        IndexError: a weight is a scalar.
    """
    return SlowFastSize(
        classes=shapes["head.projection.weight"][0],
        flexible=any("bn_" in name or ".adaconv_" in name for name in shapes),
        slow_width=shapes["s1.pathway0_stem.conv.weight"][0],
        fast_width=shapes["s1.pathway1_stem.conv.weight"][0],
        blocks=tuple(_blocks(shapes, stage) for stage in _STAGES),
    )


def _blocks(shapes: Mapping[str, torch.Size], stage: int) -> int:
    beginning, end = f"s{stage}.pathway0_res", ".branch2.a.weight"
    count = sum(name.startswith(beginning) and name.endswith(end) for name in shapes)
    if not count:
        raise KeyError(f"{beginning}0{end}")
    return count


def slow_positions(frames: int) -> tuple[int, ...]:
    """Return the positions that the slow pathway reads in a clip of ``frames`` frames.

    They equal the original's truncated ``linspace(0, frames - 1, frames // 4)``, but are computed in integer
    arithmetic.
    """
    count = frames // ALPHA
    return tuple(place * (frames - 1) // max(1, count - 1) for place in range(count))


class SlowFast(FrameFlexible):
    """SlowFast with all branches. Clips are normalized RGB; their length is a multiple of four."""

    architecture = "slowfast"
    sampling = "rounded_segments"
    frame_multiple = ALPHA

    def __init__(self, size: SlowFastSize, input_size: int | None = None) -> None:
        input_size = input_size or _INPUT_SIZE
        super().__init__(size.name, size.classes, _SUFFIXES if size.flexible else {}, input_size)
        self.window = None if size.flexible else min(_WINDOW, math.ceil(input_size / _STRIDE))
        suffixes = tuple(_SUFFIXES.values()) if size.flexible else PLAIN
        slow, fast = size.slow_width, size.fast_width
        self.s1 = Stems(slow, fast, suffixes)
        self.s1_fuse = Fuse(fast, _FUSION_RATIO, suffixes)
        for number, (stage, blocks, kernel) in enumerate(zip(_STAGES, size.blocks, _SLOW_KERNELS)):
            inner = (size.slow_width << number, size.fast_width << number)
            inputs = (slow + _FUSION_RATIO * fast, fast)
            layers = Stage(inputs, inner, (kernel, _FAST_KERNEL), blocks, 1 if number == 0 else 2, suffixes)
            self.add_module(f"s{stage}", layers)
            slow, fast = layers.outputs
            if stage != _STAGES[-1]:
                self.add_module(f"s{stage}_fuse", Fuse(fast, _FUSION_RATIO, suffixes))
        self.head = nn.ModuleDict({"projection": nn.Linear(slow + fast, size.classes)})

    @property
    def preprocessing(self) -> PreprocessSpec:
        return replace(SLOWFAST, size=self.input_size).spec

    def preprocess(self) -> Part:
        return replace(SLOWFAST, size=self.input_size).part

    def _assemble(self, layers: Mapping[str, nn.Module], frames: int) -> nn.Module:
        positions = torch.tensor(slow_positions(frames), device=next(self.parameters()).device)
        return _SlowFastBranch(layers, positions, self.window)


class _SlowFastBranch(nn.Module):
    """SlowFast with one branch: normalized RGB clips ``[n, t, 3, h, w]`` to logits ``[n, classes]``."""

    s1: nn.Module
    positions: Tensor

    def __init__(self, layers: Mapping[str, nn.Module], positions: Tensor, window: int | None) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.register_buffer("positions", positions)
        self.window = window

    def forward(self, pixels: Tensor) -> Tensor:
        return self.logits(self.get_submodule("head.projection")(self.pooled(pixels)))

    def logits(self, places: Tensor) -> Tensor:
        """Return logits ``[n, classes]`` from those at each position, ``[n, rows, columns, classes]``."""
        if self.window is None:
            return places.flatten(1)
        return torch.logsumexp(functional.log_softmax(places, dim=-1), (1, 2)) - math.log(places.shape[1:3].numel())

    def pooled(self, pixels: Tensor) -> Tensor:
        """Return the input of the classifier, ``[n, rows, columns, slow + fast channels]``."""
        slow, fast = self.s1(pixels.index_select(1, self.positions).transpose(1, 2), pixels.transpose(1, 2))
        for stage in _STAGES:
            slow = self.get_submodule(f"s{stage - 1}_fuse")(slow, fast)
            slow, fast = self.get_submodule(f"s{stage}")(slow, fast)
        return torch.cat([self._pool(slow), self._pool(fast)], dim=1).permute(0, 2, 3, 1)

    def _pool(self, x: Tensor) -> Tensor:
        if self.window is None:
            return x.mean((2, 3, 4)).view(-1, x.shape[1], 1, 1)
        return functional.avg_pool2d(x.mean(2), self.window, stride=1)


def _published(state: StateDict) -> Iterator[SlowFastSize]:
    for flexible in (True, False):
        for classes in class_counts(state, ("head.projection.weight",), _CLASSES):
            yield SlowFastSize(classes, flexible)


RECOGNIZER = SizedRecognizer(
    title="SlowFast",
    is_likely=partial(have_prefixes, prefixes=("s1.pathway0_stem.", "s1.pathway1_stem.")),
    size=slowfast_size,
    published=_published,
    build=SlowFast,
    lookalikes=(
        ("s1.pathway0_stem.", "a network of SlowFast's slow pathway alone (Slow, C2D, I3D)"),
        ("slow_path.", "a SlowFast checkpoint from a library other than the authors'"),
    ),
)
