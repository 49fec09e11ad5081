"""Interface between network families and the export: how a family's parts are written, verified and served.

No other module in ``export`` depends on the kind of network. To add a family, write one module with an `ExportFamily`
and register it under the family's name, in `EXPORTERS` or with an entry point in the group ``vbench.exporters``. Family
modules import torch and onnx only inside `write` and `verify`, because packaging needs neither.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..errors import UsageError
from ..registry import Registry
from ..runtime.bundle.bundle import Bundle
from ..runtime.bundle.manifest import Check, Manifest

if TYPE_CHECKING:
    from ..models.network import Network
    from .options import ExportOptions
    from .precision.activation_ranges import Calibration

N = TypeVar("N", bound="Network")
M = TypeVar("M", bound=Manifest)


@dataclass(frozen=True)
class ExportJob:
    """Inputs of one export.

    Attributes:
        folder: destination of the bundle's files; renamed when complete.
        options: the user's choices.
        common: the manifest fields shared by all families, except ``parts`` and fields derived from it.
        calibration: source of the calibration frames for 8-bit precisions.
        progress: called with the name of each stage when it starts.
    """

    folder: Path
    options: ExportOptions
    common: Mapping[str, Any]
    calibration: Calibration | None
    progress: Callable[[str], None]


@dataclass(frozen=True)
class ServingText:
    """Family-specific passages of a Triton repository's README.

    Attributes:
        example_parameters: example request parameters, as Python.
        frames: contents of ``FRAMES``.
        request_parameters: the parameters a request may carry.
        batching: how clips share calls.
        batched_part: the part whose calls the server may batch.
    """

    example_parameters: str
    frames: str
    request_parameters: str
    batching: str
    batched_part: str


@dataclass(frozen=True)
class ServingSpec:
    """How Triton serves a network.

    Attributes:
        template: Python file; the lines after its mark, appended to ``bls_common.py``, form the served ``model.py``.
        frames: size of the frame axis of the input ``FRAMES``; -1 for any number.
        max_frames: frames of the longest clip the network reads; sizes the example and the shared memory.
        batched: the expensive parts, whose calls the server batches.
        settings: family-specific entries of ``policy.json``.
        text: passages for the README.
    """

    template: Path
    frames: int
    max_frames: int
    batched: frozenset[str]
    settings: Mapping[str, Any]
    text: ServingText


class ExportFamily(ABC, Generic[N, M]):
    """Export of one network family."""

    @abstractmethod
    def check_options(self, network: N, checkpoint: Path, options: ExportOptions) -> None:
        """Raise UsageError or CheckpointError if the network does not support ``options``."""

    @abstractmethod
    def write(self, network: N, job: ExportJob) -> M:
        """Write all parts to the job's folder and return the manifest, with ``checks`` empty.

        Raises:
            CheckError: a part cannot be written in a precision.
            DatasetError, MissingError: see ``precision.recipes.backbones``.
        """

    @abstractmethod
    def verify(self, network: N, bundle: Bundle[M], job: ExportJob) -> dict[str, Check]:
        """Compare the written parts with PyTorch and return the results by precision.

        Raises:
            CheckError: a difference is too large.
        """

    def serving(self, manifest: M) -> ServingSpec:
        """Return how Triton serves the network.

        Raises:
            UsageError: the family has no served model.
        """
        raise UsageError(
            f"{manifest.network} cannot be packaged for Triton: its family has no served model",
            "run it with vbench.load",
        )


EXPORTERS: Registry[ExportFamily[Any, Any]] = Registry(
    "exporter for the network family",
    {"frameexit": ".frameexit:EXPORTER", "frame_counts": ".frame_counts:EXPORTER"},
    group="vbench.exporters",
    package=__package__ or "",
)
