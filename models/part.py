"""Parts: the named subgraphs into which a network is split for export.

A part is a module with named, typed inputs and one output whose first axis is the batch. The exporter writes each part
as a separate graph and the torch engine calls the same modules, so both share one definition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

DType = Literal["uint8", "float32"]


@dataclass(frozen=True)
class PartTensor:
    """Name, dtype and shape of an input or output; a string in the shape names a dynamic axis."""

    name: str
    dtype: DType
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class Part:
    """One subgraph of a network: ``module`` maps ``inputs`` to ``output``."""

    name: str
    module: nn.Module
    inputs: tuple[PartTensor, ...]
    output: PartTensor
