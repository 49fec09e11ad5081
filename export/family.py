"""The seam between network families and the export: how a family's parts are written, checked and served.

Nothing else in ``export`` asks what kind a network is. To add a family, write one module with an `ExportFamily`, and
register it under the family's name in `EXPORTERS` or by an entry point of the group ``vbench.exporters``. Modules of
families import torch and onnx in `write` and `verify` only: packaging needs neither.
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
    """One export.

    Attributes:
        folder: where the bundle's files go; renamed once all of them are there.
        options: the user's choices.
        common: those fields of the manifest that are the same for all families, but ``parts`` and what follows from
            them.
        calibration: source of the frames that 8-bit precisions are calibrated with.
        progress: called with the name of each stage as it begins.
    """

    folder: Path
    options: ExportOptions
    common: Mapping[str, Any]
    calibration: Calibration | None
    progress: Callable[[str], None]


@dataclass(frozen=True)
class ServingText:
    """What a repository's README says of a family, as parts of sentences.

    Attributes:
        parameters: example of a request's parameters, as Python.
        frames: which frames ``FRAMES`` holds.
        asked: which parameters a request may bring.
        together: how clips share calls.
        shared: the part whose calls the server may put together.
    """

    parameters: str
    frames: str
    asked: str
    together: str
    shared: str


@dataclass(frozen=True)
class ServingSpec:
    """How Triton serves a network.

    Attributes:
        template: Python file whose lines behind the mark make the served ``model.py``, together with ``bls_common.py``.
        frames: frames axis of the input ``FRAMES``; -1 for any number.
        most_frames: frames of the largest clip that the network looks at, for an example and the size of memory.
        batched: parts whose calls the server puts together: those that are dear.
        settings: what ``policy.json`` holds in addition to what all networks need.
        text: for the README.
    """

    template: Path
    frames: int
    most_frames: int
    batched: frozenset[str]
    settings: Mapping[str, Any]
    text: ServingText


class ExportFamily(ABC, Generic[N, M]):
    """What one family of networks defines for the export."""

    @abstractmethod
    def check_options(self, network: N, checkpoint: Path, options: ExportOptions) -> None:
        """Raise UsageError or CheckpointError unless the network can be exported as asked."""

    @abstractmethod
    def write(self, network: N, job: ExportJob) -> M:
        """Write all parts into the job's folder and return the manifest, without checks.

        Raises:
            CheckError: a part cannot be written in a precision.
            DatasetError, MissingError: see ``precision.recipes.backbones``.
        """

    @abstractmethod
    def verify(self, network: N, bundle: Bundle[M], job: ExportJob) -> dict[str, Check]:
        """Compare what was written with PyTorch; return the results by precision.

        Raises:
            CheckError: a difference is too large.
        """

    def serving(self, manifest: M) -> ServingSpec:
        """Return how Triton serves the network.

        Raises:
            UsageError: it cannot be served.
        """
        raise UsageError(
            f"{manifest.network} cannot be packaged for Triton: its family has no served model",
            "run it with vbench.load",
        )


EXPORTERS: Registry[ExportFamily[Any, Any]] = Registry(
    "exporter of the network family",
    {"frameexit": ".frameexit:EXPORTER", "frame_counts": ".frame_counts:EXPORTER"},
    group="vbench.exporters",
    package=__package__ or "",
)
