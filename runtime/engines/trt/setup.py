"""A request for a bundle's plans: the flavor of TensorRT, the files to build from, and the options, checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....errors import UsageError
from ...bundle.bundle import Bundle
from ...bundle.manifest import Manifest
from ..base import EngineOptions, max_batch_rows
from ..device import TF32, check_tf32, file_precision, reject_provider, requested_gpu
from ..graph_check import graph_files
from .context import PREPROCESS
from .flavor import TENSORRT_RTX, Flavor, default_flavor
from .plan_cache import PlanCache, PlanTarget, Precision

_MAX_ROWS = 1 << 16
_FILES = {"int8": "int8-trt"}  # name of the bundle's files for a precision, where it differs


@dataclass(frozen=True)
class PlanSetup:
    """A checked request for the plans of a bundle.

    Attributes:
        engine: name of the engine, for messages.
        trt: the bindings of the flavor.
        files: file of every requested part.
    """

    engine: str
    bundle: Bundle[Manifest]
    options: EngineOptions
    flavor: Flavor
    trt: Any
    precision: Precision
    files: dict[str, Path]

    @property
    def graphs(self) -> dict[str, Path]:
        """The files that plans are built from: all but preprocessing, which runs on the CPU."""
        return {part: path for part, path in self.files.items() if part != PREPROCESS}

    @property
    def gpu_number(self) -> int:
        """Index of the GPU to run on."""
        gpu = requested_gpu(self.options)
        return 0 if gpu is None else gpu.number

    def plans(self, sm: str, gpu: str | None = None, driver: str | None = None) -> PlanCache:
        """Return the cache of plans for a compute capability and, unless plans are built ahead, for a GPU.

        Raises:
            UsageError: the batch is too large.
            MissingError: the flavor cannot build for the compute capability.
        """
        flavor, rows = self.flavor, max_batch_rows(self.bundle.manifest, self.options)
        if rows > _MAX_ROWS:
            raise UsageError(f"--slots {self.options.slots} means batches of {rows} rows", f"at most {_MAX_ROWS} work")
        flavor.check_capability(self.trt, sm)
        target = PlanTarget(flavor, self.trt.__version__, None if flavor.builds_ahead else gpu, sm, driver)
        return PlanCache(self.bundle, target, self.precision, rows, self.options.say)


def plan_setup(bundle: Bundle[Manifest], options: EngineOptions, engine: str) -> PlanSetup:
    """Check the options of an engine, and return the request.

    Raises:
        UsageError: an option is invalid or not supported.
        MissingError: the flavor is not installed.
        BundleError: a file is missing or has been altered, or the bundle lacks the precision.
    """
    if options.slots is not None and options.slots < 1:
        raise UsageError(f"--slots must be >= 1, got {options.slots}", "set --slots to 1 or more")
    if requested_gpu(options) is None and options.device is not None:
        hint = "omit --device, or choose --engine ort"
        raise UsageError(f"the {engine} engine runs only on a GPU, not on {options.device}", hint)
    reject_provider(engine, options)
    check_tf32(options)
    flavor = TENSORRT_RTX if engine == TENSORRT_RTX.name else default_flavor(options.say)
    trt = flavor.bindings()  # report a missing package before reading any file
    name = file_precision(options)
    files = _FILES.get(name, name)
    precision = Precision(TF32 if options.precision == TF32 else files, files)
    return PlanSetup(engine, bundle, options, flavor, trt, precision, graph_files(bundle, files, options, "gpu"))
