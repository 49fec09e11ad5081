"""Interface between FrameExit and its backbones.

To add a backbone, write a module in this package with a `BackboneRecognizer` and register it in ``models/registry.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

Shapes = Mapping[str, torch.Size]


@dataclass(frozen=True)
class Backbone:
    """The trunk of a FrameExit network.

    Attributes:
        trunk: float32 ``[n, 3, h, w]`` to pooled features ``[n, features, 1, 1]``.
        features: number of features.
        name: architecture and size, such as ``resnet50``.
        input_size: default height and width of its input.
        paper_gmacs_per_frame: the paper's cost per frame at any input size, in giga multiply-accumulates; None if the
            paper does not use this backbone.
    """

    trunk: nn.Sequential
    features: int
    name: str
    input_size: int
    paper_gmacs_per_frame: float | None = None


@dataclass(frozen=True)
class BackboneRecognizer:
    """Recognizes one architecture by its parameter shapes.

    Attributes:
        first_parameter: name, after the backbone's prefix, of a parameter that only this architecture has.
        build: returns the backbone whose parameter names start with the given prefix; raises KeyError with the name of
            a missing parameter.
    """

    first_parameter: str
    build: Callable[[Shapes, str], Backbone]
