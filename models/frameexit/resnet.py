"""ResNet backbones of FrameExit: the paper's ResNet-50, and any other size."""

from __future__ import annotations

from ..resnet import resnet_size, resnet_trunk
from .backbone import Backbone, BackboneRecognizer, Shapes

_PAPER_GMACS_PER_FRAME = {"resnet50": 4.12}  # hard-coded in the authors' code


def _backbone(shapes: Shapes, prefix: str) -> Backbone:
    size = resnet_size(shapes, prefix)
    return Backbone(resnet_trunk(size), size.features, size.name, 224, _PAPER_GMACS_PER_FRAME.get(size.name))


BACKBONE = BackboneRecognizer("0.weight", _backbone)
