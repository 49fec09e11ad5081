"""Load a bundle's plans into TensorRT, build missing ones, and reject configurations that cannot run."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from ....errors import MissingError, UsageError, VbenchError
from ...bundle.bundle import Bundle
from ...bundle.manifest import Manifest
from ..base import Engine, EngineOptions, max_batch_rows
from ..device import TF32, check_tf32, file_precision, reject_provider, requested_gpu
from ..graph_check import graph_files
from .build import create
from .context import PREPROCESS, EngineState, Preprocess
from .cuda_driver import Cuda
from .device_memory import DevicePool
from .engine import TrtEngine
from .logger import import_tensorrt, logger_of
from .plan_cache import PlanCache, Precision
from .plan_source import PartPlan, PlanLoader
from .precision_check import summary
from .subgraph import TrtPart

_FILES = {"int8": "int8-trt"}  # name of the bundle's files for a precision, where it differs
_NO_CPU = "omit --device, or choose --engine ort"

T = TypeVar("T")


class _EngineParts(NamedTuple):
    """Constructor arguments for a `TrtEngine`."""

    parts: dict[str, TrtPart]
    preprocess: Preprocess | None
    state: EngineState
    description: dict[str, str]


def load(bundle: Bundle[Manifest], options: EngineOptions) -> Engine:
    """Load the plans of a bundle, building missing ones; see ``load_engine``.

    Raises:
        CheckError: a plan does not compute in the requested precision.
    """
    _, loaded = _on_gpu(options, partial(_load_parts, bundle, options, _check_and_list_files(bundle, options)))
    return TrtEngine(*loaded)


def build_plans(bundle: Bundle[Manifest], options: EngineOptions, *, force: bool = False) -> list[PartPlan]:
    """Return every part's plan, building it if no trusted plan exists or if ``force`` is set.

    Raises:
        MissingError, BundleError, CheckError, UsageError: see ``load_engine``.
    """
    cuda, plans = _on_gpu(options, partial(_build_all, bundle, options, _check_and_list_files(bundle, options), force))
    cuda.close()
    return plans


def _check_and_list_files(bundle: Bundle[Manifest], options: EngineOptions) -> dict[str, Path]:
    if options.slots is not None and options.slots < 1:
        raise UsageError(f"--slots must be >= 1, got {options.slots}", "set --slots to 1 or more")
    _gpu_number(options)
    reject_provider("trt", options)
    check_tf32(options)
    import_tensorrt()  # report a missing package before reading any file
    return graph_files(bundle, _precision(options).files, options)


def _gpu_number(options: EngineOptions) -> int:
    gpu = requested_gpu(options)
    if gpu is None and options.device is not None:
        raise UsageError(f"the trt engine runs only on a GPU, not on {options.device}", _NO_CPU)
    return 0 if gpu is None else gpu.number


def _precision(options: EngineOptions) -> Precision:
    files = file_precision(options)
    files = _FILES.get(files, files)
    return Precision(TF32 if options.precision == TF32 else files, files)


def _on_gpu(options: EngineOptions, work: Callable[[Cuda], T]) -> tuple[Cuda, T]:
    """Call ``work`` while the GPU's context is current, and release the GPU if the call fails."""
    cuda = Cuda(_gpu_number(options))
    try:
        with cuda:
            return cuda, work(cuda)
    except BaseException as error:
        _release_frames(error)
        cuda.close()
        raise


def _release_frames(error: BaseException) -> None:
    """Release TensorRT objects from the stack frames of an error, since they must not outlive the CUDA context.

    A `VbenchError` needs no traceback; for other errors, the traceback is kept, including closures in its frames.
    """
    cause: BaseException | None = error
    while cause is not None:
        traceback.clear_frames(cause.__traceback__)
        if isinstance(error, VbenchError):
            cause.__traceback__ = None
        cause = cause.__context__


def _plan_loader(
    bundle: Bundle[Manifest], options: EngineOptions, files: dict[str, Path], cuda: Cuda, *, exactly: bool
) -> PlanLoader:
    trt = import_tensorrt()
    with logger_of(trt).collector.collect() as messages:
        runtime = create(lambda: trt.Runtime(logger_of(trt)), "a runtime", messages)
    precision = _precision(options)
    plans = PlanCache(
        bundle, cuda.gpu, trt.__version__, precision, max_batch_rows(bundle.manifest, options), options.say
    )
    plans = plans if exactly else plans.or_larger()
    graphs = {part: path for part, path in files.items() if part != PREPROCESS}
    return PlanLoader(trt, runtime, cuda, bundle, precision, graphs, plans.slots, plans)


def _build_all(
    bundle: Bundle[Manifest], options: EngineOptions, files: dict[str, Path], force: bool, cuda: Cuda
) -> list[PartPlan]:
    loader = _plan_loader(bundle, options, files, cuda, exactly=True)
    return [loader.part_plan(part, force=force) for part in loader.files]


def _load_parts(bundle: Bundle[Manifest], options: EngineOptions, files: dict[str, Path], cuda: Cuda) -> _EngineParts:
    preprocess = _preprocess(bundle, options) if PREPROCESS in files else None
    loader = _plan_loader(bundle, options, files, cuda, exactly=False)
    loaded = {part: loader.engine(part) for part in loader.files}
    pool, no_graphs = DevicePool(cuda), "disabled" if options.graphs is False else cuda.no_graphs
    arena = pool.memory(max((engine.device_memory_size_v2 for engine, _ in loaded.values()), default=0))
    state = EngineState(loader.trt, loader.runtime, cuda, pool, arena, no_graphs is None, no_graphs)
    specs = bundle.manifest.parts
    parts = {part: TrtPart(part, specs[part], engine, loader.rows, state) for part, (engine, _) in loaded.items()}
    layers = sum((Counter(found.plan.layers) for _, found in loaded.values()), Counter[str]())
    description = {"device": f"cuda:{_gpu_number(options)}", **_description(loader, layers, preprocess)}
    return _EngineParts(parts, preprocess, state, description)


def _preprocess(bundle: Bundle[Manifest], options: EngineOptions) -> Preprocess:
    from ..ort.load import load as load_ort

    try:
        only = frozenset([PREPROCESS])
        host = replace(options, precision=_precision(options).files, parts=only, device=None, graphs=None)
        engine = load_ort(bundle, host)
    except MissingError as error:
        raise MissingError(
            f"the trt engine needs ONNX Runtime for preprocessing, but {error.message}", error.hint
        ) from None
    return Preprocess(engine, bundle.manifest.parts[PREPROCESS].output)


def _description(loader: PlanLoader, layers: Counter[str], preprocess: Preprocess | None) -> dict[str, str]:
    gpu = loader.cuda.gpu
    description = {
        "tensorrt": loader.trt.__version__,
        "gpu": f"{gpu.name}, compute capability {gpu.sm}",
        "driver": f"CUDA {gpu.driver}",
        "precision": loader.precision.name,
        "layers": summary(layers),
        "tf32": "on" if loader.precision.name == TF32 else "off",
        "slots": str(loader.rows),
        "threads": "1",
    }
    if preprocess is not None:
        description["preprocessing"] = f"onnxruntime {preprocess.engine.describe()['onnxruntime']} on the CPU"
    return description
