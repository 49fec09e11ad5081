"""Interface between network families and the exporter: how a family's parts are written, verified and served.

No other module in ``export`` depends on the kind of network. To add a family, write one module with an `ExportFamily`
and register it under the family's name, either in `EXPORTERS` or through an entry point in the group
``vbench.exporters``. Family modules import torch and onnx only inside `write` and `verify`, because packaging needs
neither.
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
from ..runtime.policies.base import Policy
from ..runtime.policies.choice import PolicyChoice

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
        folder: destination of the bundle's files; renamed once complete.
        options: the user's options.
        common: manifest fields shared by all families, except ``parts`` and fields derived from it.
        calibration: source of the calibration frames for 8-bit precisions.
        progress: called with the name of each stage as it starts.
    """

    folder: Path
    options: ExportOptions
    common: Mapping[str, Any]
    calibration: Calibration | None
    progress: Callable[[str], None]


@dataclass(frozen=True)
class ServingText:
    """Family-specific passages in the README of a Triton repository.

    Attributes:
        example_parameters: example request parameters, as Python.
        frames: what ``FRAMES`` contains.
        request_parameters: the parameters that a request may carry.
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
        frames: size of the frame axis of the input ``FRAMES``; -1 for any number.
        max_frames: number of frames in the longest clip that the network reads; determines the size of the example and
            of the shared memory.
        batched: the expensive parts, for which the server batches calls.
        rows: rows per clip in a call of the most expensive part.
        parameters: parameters with which a request may change the policy.
        choice: the choices that the parameters complete.
        text: passages for the README.
    """

    frames: int
    max_frames: int
    batched: frozenset[str]
    rows: int
    parameters: tuple[str, ...]
    choice: PolicyChoice
    text: ServingText


class ExportFamily(ABC, Generic[N, M]):
    """Exporter for one network family."""

    @abstractmethod
    def check_options(self, network: N, checkpoint: Path, options: ExportOptions) -> None:
        """Raise UsageError or CheckpointError if the network does not support ``options``."""

    @abstractmethod
    def write(self, network: N, job: ExportJob) -> M:
        """Write all parts to the job's folder and return the manifest, in which ``checks`` is still empty.

        Raises:
            CheckError: a part cannot be written in a precision.
            DatasetError, MissingError: see ``precision.recipes.backbones``.
        """

    @abstractmethod
    def verify(self, network: N, bundle: Bundle[M], job: ExportJob) -> dict[str, Check]:
        """Compare the written parts with PyTorch, and return the results by precision.

        Raises:
            CheckError: a difference is too large.
        """

    def serving(self, manifest: M, policy: Policy) -> ServingSpec:  # noqa: ARG002
        """Return how Triton serves the network with a default policy.

        Raises:
            UsageError: the family has no served model.
        """
        raise UsageError(
            f"{manifest.network} cannot be packaged for Triton: its family does not have a served model",
            "run it with vbench.load",
        )


EXPORTERS: Registry[ExportFamily[Any, Any]] = Registry(
    "exporter for the network family",
    {"frameexit": ".frameexit:EXPORTER", "frame_counts": ".frame_counts:EXPORTER"},
    group="vbench.exporters",
    package=__package__ or "",
)
