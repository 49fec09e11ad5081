"""Load a bundle's plans into TensorRT on a GPU, and build missing ones."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple, TypeVar

from ....errors import MissingError, VbenchError
from ...bundle.bundle import Bundle
from ...bundle.manifest import Manifest
from ..base import Engine, EngineOptions
from ..device import TF32
from .build import create
from .context import PREPROCESS, EngineState, Preprocess
from .cuda_driver import Cuda
from .device_memory import DevicePool
from .engine import TrtEngine
from .flavor import TENSORRT, TENSORRT_RTX
from .logger import logger_of
from .plan_source import PartPlan, PlanLoader
from .precision_check import summary
from .setup import PlanSetup, plan_setup
from .subgraph import TrtPart

_WORKSPACE_BYTES = 2 << 30
_FOR_GPU = "to build for another GPU, name it with --for-gpu (sm_89)"

T = TypeVar("T")


class _EngineParts(NamedTuple):
    """Constructor arguments for a `TrtEngine`."""

    parts: dict[str, TrtPart]
    preprocess: Preprocess | None
    state: EngineState
    description: dict[str, str]


def load(bundle: Bundle[Manifest], options: EngineOptions) -> Engine:
    """Load a bundle's plans into TensorRT or, if only that is installed, TensorRT-RTX; build missing ones.

    Raises:
        CheckError: a plan does not compute in the requested precision.
    """
    return _load(plan_setup(bundle, options, TENSORRT.name))


def load_rtx(bundle: Bundle[Manifest], options: EngineOptions) -> Engine:
    """Load a bundle's plans into TensorRT-RTX, building missing ones; see `load`."""
    return _load(plan_setup(bundle, options, TENSORRT_RTX.name))


def build_plans(bundle: Bundle[Manifest], options: EngineOptions, *, force: bool = False) -> list[PartPlan]:
    """Return every part's plan for this GPU, building it if no trusted plan exists or if ``force`` is set.

    Raises:
        MissingError, BundleError, CheckError, UsageError: see ``load_engine``.
    """
    cuda, plans = _on_gpu(plan_setup(bundle, options, options.engine), partial(_build_all, force=force), _FOR_GPU)
    cuda.close()
    return plans


def _load(setup: PlanSetup) -> Engine:
    _, loaded = _on_gpu(setup, _load_parts)
    return TrtEngine(setup.engine, *loaded)


def _on_gpu(setup: PlanSetup, work: Callable[[PlanSetup, Cuda], T], instead: str = "") -> tuple[Cuda, T]:
    """Call ``work`` while the GPU's context is current, and release the GPU if the call fails.

    ``instead`` is what the user can do without a GPU if the flavor builds ahead.
    """
    try:
        cuda = Cuda(setup.gpu_number, setup.flavor.name)
    except MissingError as error:
        if not (instead and setup.flavor.builds_ahead):
            raise
        raise MissingError(error.message, f"{instead}; to build for this machine's GPU: {error.hint}") from None
    try:
        with cuda:
            return cuda, work(setup, cuda)
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


def _plan_loader(setup: PlanSetup, cuda: Cuda, *, exactly: bool) -> PlanLoader:
    trt, gpu = setup.trt, cuda.gpu
    plans = setup.plans(gpu.sm, gpu.name, gpu.driver)
    plans = plans if exactly else plans.or_larger()
    if not exactly and not any(plans.folder.glob("*.plan")):
        for version in plans.other_versions():
            plans.say(f"{setup.flavor.title} {trt.__version__} cannot load the plans built by version {version}")
    with logger_of(trt).collector.collect() as messages:
        runtime = create(lambda: trt.Runtime(logger_of(trt)), "a runtime", messages)
    workspace = min(_WORKSPACE_BYTES, gpu.memory_bytes // 2)
    return PlanLoader(
        trt,
        setup.bundle,
        setup.precision,
        setup.graphs,
        plans.slots,
        plans,
        None if setup.flavor.builds_ahead else workspace,
        runtime=runtime,
        cuda=cuda,
    )


def _build_all(setup: PlanSetup, cuda: Cuda, force: bool) -> list[PartPlan]:
    loader = _plan_loader(setup, cuda, exactly=True)
    return [loader.part_plan(part, force=force) for part in loader.files]


def _load_parts(setup: PlanSetup, cuda: Cuda) -> _EngineParts:
    preprocess = _preprocess(setup) if PREPROCESS in setup.files else None
    loader = _plan_loader(setup, cuda, exactly=False)
    loaded = {part: loader.engine(part) for part in loader.files}
    pool, no_graphs = DevicePool(cuda), "disabled" if setup.options.graphs is False else cuda.no_graphs
    arena = pool.memory(max((engine.device_memory_size_v2 for engine, _ in loaded.values()), default=0))
    state = EngineState(loader.trt, loader.runtime, cuda, pool, arena, no_graphs is None, no_graphs)
    specs = setup.bundle.manifest.parts
    parts = {part: TrtPart(part, specs[part], engine, loader.rows, state) for part, (engine, _) in loaded.items()}
    layers = sum((Counter(found.plan.layers) for _, found in loaded.values()), Counter[str]())
    description = {"device": f"cuda:{setup.gpu_number}", **_description(setup, loader, layers, preprocess)}
    return _EngineParts(parts, preprocess, state, description)


def _preprocess(setup: PlanSetup) -> Preprocess:
    from ..ort.load import load as load_ort

    try:
        only = frozenset([PREPROCESS])
        host = replace(setup.options, precision=setup.precision.files, parts=only, device=None, graphs=None)
        engine = load_ort(setup.bundle, host)
    except MissingError as error:
        raise MissingError(
            f"the {setup.engine} engine needs ONNX Runtime for preprocessing, but {error.message}", error.hint
        ) from None
    return Preprocess(engine, setup.bundle.manifest.parts[PREPROCESS].output)


def _description(
    setup: PlanSetup, loader: PlanLoader, layers: Counter[str], preprocess: Preprocess | None
) -> dict[str, str]:
    gpu = loader.cuda.gpu
    description = {
        "flavor": setup.flavor.title,
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
        description["preprocessing"] = f"{preprocess.engine.describe()['preprocessing']} on the CPU"
    return description
