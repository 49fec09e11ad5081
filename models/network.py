"""Interface of networks: a network is a set of named parts.

The exporter writes each part as a separate graph and the torch engine calls the same modules, so both share one
definition. To add a network of an existing family, write a module with a subclass and its recognizer, and register the
recognizer in ``registry.py``. To add a family, also write one module each in ``export`` and ``runtime``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import ClassVar, NamedTuple

from torch import nn

from ..errors import UsageError
from .part import Part
from .preprocess.shorter_side import PreprocessSpec


class FittableGates(NamedTuple):
    """Gates that can be fitted to recorded states.

    Attributes:
        hidden: length of a state.
        widths: widths of a gate's two layers.
        steps: number of steps; the first and the last have no gate.
        trunk_sha256: digest of all tensors except those of the gates, which identifies the network that recorded the
            states.
    """

    hidden: int
    widths: tuple[int, int]
    steps: int
    trunk_sha256: str


class Network(nn.Module, ABC):
    """A network under its authors' parameter names; subclasses define the layers.

    Attributes:
        family: name of the family in the registries of ``runtime`` and ``export``.
        architecture: short name, such as ``tsm``.
        name: architecture and size.
        classes: number of classes.
        input_size: height and width of its input in pixels.
        recorded_frames: number of frames per clip stated in the checkpoint's configuration, if any.
    """

    family: ClassVar[str]
    architecture: ClassVar[str]

    def __init__(self, name: str, classes: int, input_size: int) -> None:
        super().__init__()
        self.name = name
        self.classes = classes
        self.input_size = input_size
        self.recorded_frames: int | None = None

    @property
    @abstractmethod
    def preprocessing(self) -> PreprocessSpec:
        """The manifest's description of the part ``preprocess``."""

    @abstractmethod
    def parts_by_name(self, names: Collection[str]) -> dict[str, Part]:
        """Return the parts with these ``names``, in evaluation mode.

        Raises:
            UsageError: the network has no such part.
        """

    def fittable_gates(self) -> FittableGates:
        """Return the sizes of the gates that can be fitted to recorded states.

        Raises:
            UsageError: the network has no gates.
        """
        raise UsageError(f"{self.name} has no gates to fit", "pass a FrameExit checkpoint")
