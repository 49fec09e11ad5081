"""Build a plan from a part's ONNX file.

The precision is the file's: networks are strongly typed, which is the only mode in TensorRT 11 and an option in
TensorRT 10, so one code path serves both. TF32 is off unless requested; otherwise fp32 would not be fp32. Auxiliary
streams are not used: the parts share tensors and rely on the order of a single stream.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ....errors import BundleError, MissingError, VbenchError
from ..device import TF32
from ..graph_check import TensorInfo
from .flavor import Flavor
from .interrupts import canceling_monitor, postponed_signals
from .logger import LogMessage, logger_of, reason
from .network_layers import network_precision_counts
from .precision_check import precision_counts

_DTYPES = {"FLOAT": "float32", "HALF": "float16", "UINT8": "uint8", "INT64": "int64"}
_NO_HALF_KERNEL = re.compile(r"no low.precision conv|keeping conv in fp32", re.IGNORECASE)
_HINT = "export the checkpoint again, or choose --engine ort"


class BuildJob(NamedTuple):
    """A plan to build.

    Attributes:
        part: name of the part.
        onnx: its file.
        precision: compute precision.
        rows: maximum batch size.
        sm: compute capability to build for, such as ``89``.
        workspace_bytes: workspace memory for tactics; None for the library's default.
        check: receives the inputs and outputs as parsed by TensorRT, and raises an error if they differ from the
            manifest.
    """

    part: str
    onnx: Path
    precision: str
    rows: int
    sm: str
    workspace_bytes: int | None
    check: Callable[[Sequence[TensorInfo]], None]


class BuiltPlan(NamedTuple):
    """A plan, its kernel timings, and the matrix-product layers of the network by precision.

    The timings make the next build faster and reproducible; they are empty if the library does not time kernels.
    """

    plan: bytes
    timings: bytes
    network_layers: dict[str, int]


def build_plan(flavor: Flavor, trt: Any, job: BuildJob, timings: bytes = b"") -> BuiltPlan:
    """Build a plan: for the GPU of the current context or, if the flavor builds ahead, for a compute capability.

    Raises:
        BundleError: TensorRT rejects the graph, or its tensors differ from the manifest.
    """
    logger = logger_of(trt)
    with postponed_signals() as received, logger.collector.collect() as messages:
        builder = create(lambda: trt.Builder(logger), "a builder", messages)
        typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        network = create(lambda: builder.create_network(typed), "a network", messages)
        network.name = job.part  # appears in profilers and messages
        parser = trt.OnnxParser(network, logger)  # the parser owns the weights that the network refers to
        if not parser.parse_from_file(str(job.onnx)):
            errors = [LogMessage(True, _error_text(parser.get_error(index))) for index in range(parser.num_errors)]
            raise BundleError(f"{flavor.title} cannot load {job.onnx}: {reason(errors or messages)}", _HINT)
        job.check(network_tensors(network))
        config = _config(flavor, trt, builder, network, job, messages)
        cache = None if flavor.builds_ahead else _use_timings(config, timings)
        layers = network_precision_counts(network) if flavor.builds_ahead else {}
        config.progress_monitor = canceling_monitor(trt, received)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise _failure(flavor, trt, job, messages)
        serialized = None if cache is None else cache.serialize()
        return BuiltPlan(bytes(plan), b"" if serialized is None else bytes(serialized), layers)


def network_tensors(network: Any) -> list[TensorInfo]:
    """Return the inputs and outputs of a network, with ``?`` for dynamic axes."""
    tensors = [network.get_input(index) for index in range(network.num_inputs)]
    tensors += [network.get_output(index) for index in range(network.num_outputs)]
    return [tensor_info(tensor.name, tensor.dtype, tensor.shape) for tensor in tensors]


def engine_tensors(trt: Any, engine: Any) -> list[TensorInfo]:
    """Return the inputs and outputs of an engine, with ``?`` for dynamic axes."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
    ordered = [*inputs, *(name for name in names if name not in inputs)]
    return [tensor_info(name, engine.get_tensor_dtype(name), engine.get_tensor_shape(name)) for name in ordered]


def tensor_info(name: str, dtype: Any, shape: Any) -> TensorInfo:
    """Describe a tensor in the manifest's terms."""
    axes = tuple("?" if axis < 0 else int(axis) for axis in tuple(shape))
    return TensorInfo(name, _DTYPES.get(dtype.name, dtype.name.lower()), axes)


def layer_counts(trt: Any, engine: Any) -> dict[str, int]:
    """Count an engine's matrix-product layers by precision; see ``precision_counts``."""
    inspector = engine.create_engine_inspector()
    return dict(precision_counts(inspector.get_engine_information(trt.LayerInformationFormat.JSON)))


def _error_text(error: Any) -> str:
    """Return a parser's error on one line, with its node: the description alone need not name the operator."""
    where = f" (operator {error.node_operator()}, node {error.node_name()!r})" if error.node_operator() else ""
    return " ".join(f"{error.desc()}{where}".split())


def create(make: Callable[[], Any], what: str, messages: list[LogMessage]) -> Any:
    """Create a TensorRT object; on failure, TensorRT returns None, or its bindings raise a TypeError because of it.

    Raises:
        MissingError: TensorRT fails to create the object.
    """
    try:
        item = make()
    except TypeError:
        item = None
    if item is None:
        raise MissingError(f"TensorRT cannot create {what}: {reason(messages)}", "choose --engine ort")
    return item


def _config(flavor: Flavor, trt: Any, builder: Any, network: Any, job: BuildJob, messages: list[LogMessage]) -> Any:
    config = create(builder.create_builder_config, "a configuration", messages)
    flavor.set_target(trt, config, job.sm)
    if job.workspace_bytes is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, job.workspace_bytes)
    (config.set_flag if job.precision == TF32 else config.clear_flag)(trt.BuilderFlag.TF32)
    config.max_aux_streams = 0
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    shapes = {tensor.name: tuple(tensor.shape) for tensor in map(network.get_input, range(network.num_inputs))}
    dynamic = {name: shape for name, shape in shapes.items() if -1 in shape}
    if dynamic:
        profile = create(builder.create_optimization_profile, "a profile", messages)
        for name, (batch, *rest) in dynamic.items():
            if batch != -1 or -1 in rest:
                raise BundleError(f"{job.onnx}: {name} has dynamic axes other than the first", _HINT)
            profile.set_shape(name, (1, *rest), (job.rows, *rest), (job.rows, *rest))
        if config.add_optimization_profile(profile) < 0:
            raise _failure(flavor, trt, job, messages)
    return config


def _use_timings(config: Any, timings: bytes) -> Any:
    """Pass the timings of earlier builds to this build, or an empty cache if they are incompatible or unreadable."""
    for content in (timings, b"") if timings else (b"",):
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, False):
            return cache
    return None


def _failure(flavor: Flavor, trt: Any, job: BuildJob, messages: list[LogMessage]) -> VbenchError:
    hint = _HINT
    if job.precision == "fp16" and any(_NO_HALF_KERNEL.search(each.text) for each in messages):
        hint = "choose --precision fp32, or another TensorRT: this version has no fp16 kernel for grouped convolutions"
    what = f"{flavor.title} {trt.__version__} cannot build a plan from {job.onnx}"
    return BundleError(f"{what}: {reason(messages)}", hint)
