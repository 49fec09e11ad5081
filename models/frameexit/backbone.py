"""Interface between FrameExit and its backbones.

To add a backbone, write a module in this package with a `BackboneRecognizer` and register it in ``models/registry.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import nn

from ..checkpoint.read import StateDict
from ..part import Part
from ..preprocess.shorter_side import PreprocessSpec

Shapes = Mapping[str, torch.Size]


class InputRules(Protocol):
    """Preprocessing that produces a backbone's pixels: its description, and the part that implements it."""

    @property
    def spec(self) -> PreprocessSpec:
        """Description for a manifest."""

    @property
    def part(self) -> Part:
        """The part that converts decoded frames into pixels."""


@dataclass(frozen=True)
class ClipInput:
    """Input of a backbone with 3D convolutions, for which each step reads a clip of ``frames`` frames.

    Attributes:
        frames: number of frames per clip.
        rules: maps the input size to the preprocessing, whose pixels are ``[n, 1, 3, h, w]``.
    """

    frames: int
    rules: Callable[[int], InputRules]


@dataclass(frozen=True)
class Backbone:
    """The trunk of a FrameExit network.

    Attributes:
        trunk: maps float32 ``[n, 3, h, w]``, or ``[n, frames, 3, h, w]`` with a ``clip_input``, to pooled features,
            which are ``[n, features]`` after flattening.
        features: number of features.
        name: architecture and size, such as ``resnet50``.
        input_size: default height and width of its input.
        paper_gmacs_per_frame: cost per frame according to the paper, in giga multiply-accumulates, regardless of the
            input size; None if the paper does not use this backbone.
        clip_input: None if a step reads a single frame, with FrameExit's own preprocessing.
    """

    trunk: nn.Module
    features: int
    name: str
    input_size: int
    paper_gmacs_per_frame: float | None = None
    clip_input: ClipInput | None = None


def _unchanged(state: StateDict, prefix: str) -> StateDict:  # noqa: ARG001
    """Return the tensors of a backbone that has only one public layout."""
    return state


@dataclass(frozen=True)
class BackboneRecognizer:
    """Recognizes one architecture by its parameter shapes.

    Attributes:
        first_parameter: name, without the backbone's prefix, of a parameter that only this architecture has.
        build: returns the backbone whose parameter names start with a given prefix; raises KeyError with the name of a
            missing parameter.
        canonical: returns the tensors without those that FrameExit does not use, and with any other public names of
            this backbone (after the prefix) replaced by those that ``build`` expects.
    """

    first_parameter: str
    build: Callable[[Shapes, str], Backbone]
    canonical: Callable[[StateDict, str], StateDict] = field(default=_unchanged)
