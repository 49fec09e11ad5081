"""The seam between FrameExit and the backbones that it may have.

To add one, write a module here with a `BackboneRecognizer` and register it in ``models/registry.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

Shapes = Mapping[str, torch.Size]


@dataclass(frozen=True)
class Backbone:
    """The trunk of a FrameExit.

    Attributes:
        trunk: float32 ``[n, 3, h, w]`` to pooled features ``[n, features, 1, 1]``.
        features: their number.
        name: its architecture and size, such as ``resnet50``.
        input_size: customary height and width of its pixels.
        paper_gmacs_per_frame: what the paper counts, whatever the input size, in giga multiply-accumulates; None: the
            paper has no such backbone.
    """

    trunk: nn.Sequential
    features: int
    name: str
    input_size: int
    paper_gmacs_per_frame: float | None = None


@dataclass(frozen=True)
class BackboneRecognizer:
    """Knows one architecture from the parameters' shapes.

    Attributes:
        first: name, behind the backbone's prefix, of a parameter that this architecture has and the others have not.
        build: returns the backbone whose parameters have names with this prefix; KeyError with the name of a parameter
            that is missing.
    """

    first: str
    build: Callable[[Shapes, str], Backbone]
