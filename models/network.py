"""The seam between networks and what is made of them: a network is a set of named parts.

The exporter writes each part as a graph of its own; the torch engine calls the same modules, so that both follow one
definition. To add a network of a known family, write a module with a subclass and its recognizer, and register that in
``registry.py``; to add a family, its subclass of `Network` here, and one module each in ``export`` and ``runtime``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import ClassVar

from torch import nn

from .part import Part
from .preprocess.shorter_side import PreprocessSpec


class Network(nn.Module, ABC):
    """A network under its authors' parameter names; subclasses hold the layers.

    Attributes:
        family: name of its family in the registries of ``runtime`` and ``export``.
        architecture: what people call it, such as ``tsm``.
        name: the architecture with its size.
        classes: number of classes.
        input_size: height and width of its pixels.
    """

    family: ClassVar[str]
    architecture: ClassVar[str]

    def __init__(self, name: str, classes: int, input_size: int) -> None:
        super().__init__()
        self.name = name
        self.classes = classes
        self.input_size = input_size

    @property
    @abstractmethod
    def preprocessing(self) -> PreprocessSpec:
        """What the part ``preprocess`` does, in words for a manifest."""

    @abstractmethod
    def parts_by_name(self, names: Collection[str]) -> dict[str, Part]:
        """Return those of the network's parts that a bundle calls by ``names``, in evaluation mode.

        Raises:
            UsageError: the network has no such part.
        """
