"""Cache of TensorRT plans in a bundle's folder; missing plans are built.

A plan depends on what it was built for, the TensorRT version and the batch size, all of which appear in the name of its
folder: ``plans/<gpu>-sm<capability>-trt<version>-<precision>-<slots>/<part>-<digest>.plan``, without the GPU for
TensorRT-RTX, whose plans are built for a compute capability. A plan is executable code, so only plans that this user
built here or trusts are loaded (see `trusted_files`). Concurrent processes build each plan only once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from ...bundle.bundle import Bundle
from ...bundle.manifest import Manifest
from ..device import TF32
from ..trusted_files import (
    ForeignError,
    Say,
    UntrustedError,
    engine_folder,
    locked_folder,
    read_signed,
    record_path,
    rejection_message,
    write_signed,
)
from ..user_key import local_key
from .build import BuiltPlan
from .flavor import FLAVORS, Flavor
from .precision_check import summary

SCHEMA = 2
_MISPLACED = "its folder or file does not have the expected name"


class Precision(NamedTuple):
    """A compute precision for plans: its name, and the name of the bundle files used for it."""

    name: str
    files: str


class PlanTarget(NamedTuple):
    """What plans are built with and for.

    Attributes:
        version: version of the flavor.
        gpu: name of the GPU; None if the flavor builds ahead.
        sm: compute capability, such as ``89``.
        driver: the CUDA version of the driver; None without a GPU.
    """

    flavor: Flavor
    version: str
    gpu: str | None
    sm: str
    driver: str | None

    @property
    def folder_names(self) -> tuple[str, ...]:
        """The parts of a plan folder's name that identify the target."""
        return tuple(filter(None, (self.gpu, f"sm{self.sm}", f"{self.flavor.name}{self.version}")))

    def record(self) -> dict[str, Any]:
        """Return the fields of a plan's record that identify the target."""
        return {
            "flavor": self.flavor.name,
            "tensorrt": self.version,
            "gpu": self.gpu,
            "compute_capability": self.sm,
        }


@dataclass(frozen=True)
class Plan:
    """A trusted plan: its bytes and its record."""

    content: bytes
    record: dict[str, Any]

    @property
    def layers(self) -> dict[str, int]:
        """Number of matrix-product layers at each precision."""
        return dict(self.record["layers"])


@dataclass(frozen=True)
class BuildResult:
    """Result of a build: plan, kernel timings, and number of matrix-product layers at each precision."""

    built: BuiltPlan
    layers: dict[str, int]


@dataclass(frozen=True)
class PlanCache:
    """The plans of one bundle for one target, precision and maximum batch size (``slots``, in rows)."""

    bundle: Bundle[Manifest]
    target: PlanTarget
    precision: Precision
    slots: int
    say: Say

    @property
    def folder(self) -> Path:
        """Folder of the plans."""
        return engine_folder(self.bundle.path, *self.target.folder_names, self.precision.name, str(self.slots))

    def or_larger(self) -> PlanCache:
        """Return this cache or, if its plans have not been built, the one with plans for the next larger batch size.

        Existing plans are preferred even though their kernels were selected for a larger batch.
        """
        if _has_plans(self.folder):
            return self
        stem, others = self.folder.name.removesuffix(str(self.slots)), filter(_has_plans, self.folder.parent.glob("*"))
        numbers = [folder.name.removeprefix(stem) for folder in others if folder.name.startswith(stem)]
        larger = [int(number) for number in numbers if number.isdigit() and int(number) > self.slots]
        if not larger:
            return self
        hint = f"vbench build --slots {self.slots} builds plans for {self.slots}"
        self.say(f"using the plans for batches of up to {min(larger)}; {hint}")
        return replace(self, slots=min(larger))

    def other_versions(self) -> tuple[str, ...]:
        """Return the other versions of the flavor for which there are plans that are the same otherwise."""
        before, version, after = self.folder.name.rpartition(self.target.version)
        names = (folder.name for folder in self.folder.parent.glob("*"))
        same = (name for name in names if version and name.startswith(before) and name.endswith(after))
        versions = (name.removeprefix(before).removesuffix(after) for name in same)
        return tuple(sorted(found for found in versions if re.fullmatch(r"[0-9.]+", found)))

    def plan(self, part: str, rows: int, make: Callable[[bytes], BuildResult], *, force: bool = False) -> Plan:
        """Return a part's plan for batches of up to ``rows`` rows; ``make`` builds it if there is no trusted plan.

        ``make`` receives the timings of earlier builds and may raise an error. With ``force``, the plan is always
        built.

        Raises:
            MissingError: the disk is full.
            UsageError: the folder is not writable.
        """
        key, before = local_key(), self._stamp(part)
        found = None if force else self._load_trusted(part, rows, key)
        if found is not None:
            return found
        with locked_folder(self.folder, self.say):
            if not force and self._stamp(part) != before:  # another process has built it in the meantime
                found = self._load_trusted(part, rows, key)
            if found is not None:
                return found
            title = self.target.flavor.title
            self.say(f"building the {title} plan of {part} ({self.precision.name}, up to {rows} rows)")
            result = make(self._load_timings(key))
            self._save_timings(result.built.timings, key)
            told = {"network": self.bundle.manifest.network, "driver": self.target.driver, "layers": result.layers}
            record = {**self._expected_record(part, rows), **told}
            record = write_signed(self._path(part), result.built.plan, record, key)
            self.say(f"built {part}: {summary(result.layers)}")
            return Plan(result.built.plan, record)

    def _load_trusted(self, part: str, rows: int, key: bytes) -> Plan | None:
        try:
            return Plan(*read_signed(self._path(part), self._expected_record(part, rows), key))
        except FileNotFoundError:
            return None
        except UntrustedError as reason:
            how = "; to accept such plans, run vbench trust before they are rebuilt"
            self.say(rejection_message(self._path(part), reason) + how * isinstance(reason, ForeignError))
            return None

    def _stamp(self, part: str) -> tuple[int, int] | None:
        """Return a value that changes whenever a plan is rewritten: the stamp of its record, which is written last."""
        try:
            state = record_path(self._path(part)).lstat()
        except OSError:
            return None
        return state.st_ino, state.st_mtime_ns

    def _expected_record(self, part: str, rows: int) -> dict[str, Any]:
        """Return the expected record of a plan."""
        return {
            "schema": SCHEMA,
            "part": part,
            **self.target.record(),
            "precision": self.precision.name,
            "profile": [1, rows, rows],
            "onnx_sha256": self._graph_digest(part),
            "weights_sha256": self._weights_digest(),
        }

    def _graph_digest(self, part: str) -> str:
        return self.bundle.manifest.parts[part].files_for("gpu")[self.precision.files].sha256

    def _weights_digest(self) -> str | None:
        weights = self.bundle.manifest.weights.get(self.precision.files)
        return None if weights is None else weights.sha256

    def _path(self, part: str) -> Path:
        sources = f"{self._graph_digest(part)} {self._weights_digest()}"
        return self.folder / f"{part}-{hashlib.sha256(sources.encode()).hexdigest()[:12]}.plan"

    def _load_timings(self, key: bytes) -> bytes:
        try:
            return read_signed(self.folder / "timing.cache", self._timings_record(), key)[0]
        except (FileNotFoundError, UntrustedError):
            return b""

    def _save_timings(self, timings: bytes, key: bytes) -> None:
        if timings:
            write_signed(self.folder / "timing.cache", timings, self._timings_record(), key)

    def _timings_record(self) -> dict[str, Any]:
        """Return the expected record of the timings, which depend on the GPU, TensorRT version and driver."""
        return {"schema": SCHEMA, **self.target.record(), "driver": self.target.driver}


def mismatch(bundle: Bundle[Manifest], path: Path, record: Mapping[str, Any]) -> str:
    """Say why vbench would not load a plan from ``path`` in a bundle, given the plan's record; "" if it would."""
    part, precision, rows = record["part"], record["precision"], record["profile"][-1]
    files = "fp32" if precision == TF32 else precision
    if part not in bundle.manifest.parts or files not in bundle.manifest.parts[part].files:
        return f"the bundle has no part {part} in {precision}"
    flavor = FLAVORS[record["flavor"]]
    gpu = None if flavor.builds_ahead else str(record.get("gpu"))
    target = PlanTarget(flavor, record["tensorrt"], gpu, record["compute_capability"], None)
    cache = PlanCache(bundle, target, Precision(precision, files), rows, print)
    for name, value in cache._expected_record(part, rows).items():
        if record.get(name) != value:
            return f"its {name.replace('_', ' ')} is not the expected one"
    expected = cache._path(part)
    return "" if (path.parent.name, path.name) == (expected.parent.name, expected.name) else _MISPLACED


def _has_plans(folder: Path) -> bool:
    return any(folder.glob("*.plan"))
