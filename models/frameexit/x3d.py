"""X3D-S backbone of FrameExit: each step reads a clip of 13 frames.

The paper reports X3D-S on ActivityNet (19.6 GFLOPs for ten clips), but neither code nor a checkpoint was published. The
features are those after the last convolution in X3D's head and its ReLU, which preserves both the size of FrameExit's
heads and the published cost; inputs larger than 160 pixels yield several positions, whose features are averaged.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from ..checkpoint.read import StateDict
from ..preprocess.multi_crop import CropRules
from ..x3d.layers import INPUT_SIZE, Trunk, trunk_layers, trunk_size
from ..x3d.layouts import SPATIAL, with_slowfast_names
from ..x3d.network import FRAMES, preprocessing
from .backbone import Backbone, BackboneRecognizer, ClipInput, Shapes

_PAPER_GMACS_PER_CLIP = 1.96
_CENTER = (1,)


class X3DFeatures(Trunk):
    """X3D's features, averaged over positions: ``[n, frames, 3, h, w]`` to ``[n, features]``."""

    def forward(self, pixels: Tensor) -> Tensor:
        return super().forward(pixels).mean((2, 3, 4))


def _backbone(shapes: Shapes, prefix: str) -> Backbone:
    size = trunk_size(shapes, prefix)
    trunk = X3DFeatures(trunk_layers(size))
    clip_input = ClipInput(FRAMES, _center_crop)
    return Backbone(trunk, size.features, "x3d_s", INPUT_SIZE, _PAPER_GMACS_PER_CLIP / FRAMES, clip_input)


def _center_crop(input_size: int) -> CropRules:
    return replace(preprocessing(input_size), crops=_CENTER)


def _canonical(state: StateDict, prefix: str) -> StateDict:
    """Use SlowFast's names, and omit the classifier if the trunk was saved with it."""
    renamed = with_slowfast_names(state, prefix)
    if f"{prefix}{SPATIAL}" not in renamed:
        return state
    return {name: tensor for name, tensor in renamed.items() if not name.startswith(f"{prefix}head.projection.")}


BACKBONE = BackboneRecognizer(SPATIAL, _backbone, _canonical)
