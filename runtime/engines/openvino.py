"""OpenVINO on the CPU.

By default, the CPU plugin chooses the compute precision (bf16 on CPUs that support it). Here, the precision of every
part is set explicitly and read back after compilation, and the description counts layers by actual precision. Parts
read and write NumPy arrays in place. Every thread has its own infer request for each part, so calls need no lock. Only
the backbone benefits from several threads or a lower precision; the cost of gates and classifiers is negligible.
Preprocessing is compiled where possible (see `load_compiled`).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from threading import local
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from ...errors import BundleError, MissingError
from ...startup import phase
from ..bundle.bundle import Bundle
from ..bundle.manifest import Manifest, PartSpec
from ..preprocess.compiled import PREPROCESS, CompiledPreprocessing, load_compiled
from .base import Engine, EngineOptions, Handle
from .device import reject_gpu
from .graph_check import TensorInfo, check_signature, graph_files, is_large_part, run_error
from .install_hint import missing_package
from .numpy_memory import NumpyMemory

if TYPE_CHECKING:
    import openvino

_CALLERS = 4  # number of threads that can preprocess concurrently; other callers wait
_FILES = {"bf16": "fp32"}  # files used for precisions that have none of their own
_CAPABILITIES = {"bf16": "BF16", "int8": "INT8", "int8-trt": "INT8"}
_MULTIPLYING = {"Convolution", "FullyConnected", "MatMul"}
_DTYPES = {"f32": "float32", "f16": "float16", "u8": "uint8", "i64": "int64"}


class OpenvinoEngine(NumpyMemory):
    """Engine with one compiled model per part, and one infer request per part and calling thread."""

    name = "openvino"

    def __init__(
        self,
        models: Mapping[str, openvino.CompiledModel],
        manifest: Manifest,
        tensor: type[openvino.Tensor],
        description: dict[str, str],
    ) -> None:
        self._models, self._parts, self._tensor, self._description = models, manifest.parts, tensor, description
        self._requests = local()
        self._compiled: CompiledPreprocessing | None = None
        if PREPROCESS in models:
            runner = f"openvino {description['openvino']}"
            run_graph = partial(self._run_graph, PREPROCESS)
            self._compiled, description["preprocessing"] = load_compiled(manifest, run_graph, runner)

    def describe(self) -> dict[str, str]:
        """Return the version, device, threads, and layer counts by compute precision (``f32: 72``)."""
        return self._description

    def run(self, part: str, *inputs: Handle, out: Handle | None = None) -> Handle:
        if part == PREPROCESS and self._compiled is not None:
            return self._compiled(inputs[0], out)
        return self._run_graph(part, *inputs, out=out)

    def _run_graph(self, part: str, *inputs: Handle, out: Handle | None = None) -> Handle:
        request = self._request(part)
        if out is None:
            output = self._parts[part].output
            out = np.empty((len(inputs[0]), *output.shape[1:]), output.dtype)
        arrays = [_make_shareable(array) for array in inputs]  # kept alive: a request holds addresses, not arrays
        try:
            for index, array in enumerate(arrays):
                request.set_input_tensor(index, self._tensor(array, shared_memory=True))
            request.set_output_tensor(0, self._tensor(out, shared_memory=True))
            request.infer()
        except RuntimeError as error:  # the only exception that OpenVINO raises
            raise run_error("OpenVINO", part, _first_reason(error)) from None
        return out

    def _request(self, part: str) -> openvino.InferRequest:
        mine: dict[str, openvino.InferRequest] = self._requests.__dict__  # this thread's requests; see threading.local
        if part not in mine:
            mine[part] = self._models[part].create_infer_request()
        return mine[part]


def _make_shareable(array: Handle) -> Handle:
    """Return the array, or a copy if OpenVINO cannot share it (read-only or not contiguous)."""
    return array if array.flags.carray else np.require(array, requirements=["C", "W", "A"])


def load(bundle: Bundle[Manifest], options: EngineOptions) -> Engine:
    """Compile every part; see ``load_engine``.

    Raises:
        MissingError: also raised if the CPU does not support the requested precision.
        UsageError: a device other than the CPU was requested.
    """
    reject_gpu(OpenvinoEngine.name, options)
    try:
        openvino = _import_without_telemetry()
    except ImportError:
        raise missing_package("openvino", "openvino") from None
    core = shared_core()
    hint = _precision_hint(core, bundle.manifest, options.precision)
    graphs = graph_files(bundle, _FILES.get(options.precision, options.precision), options)
    threads = options.thread_count()
    models = {part: _compile(core, bundle, part, path, threads, hint) for part, path in graphs.items()}
    layers = sum((_count_layers(model) for model in models.values()), Counter[str]())
    if options.precision.startswith("int8") and not layers.keys() & {"i8", "u8"}:
        raise BundleError(
            f"{bundle.path}: OpenVINO does not run any layer of the 8-bit graphs in 8-bit precision",
            "export the checkpoint again",
        )
    heaviest = models[max(models, key=lambda part: bundle.manifest.parts[part].macs)]
    description = {
        "openvino": openvino.__version__,
        "device": _device(core),
        "capabilities": ",".join(_capabilities(core)),
        "precision": options.precision,
        "layers": ", ".join(f"{precision}: {count}" for precision, count in sorted(layers.items())),
        "threads": str(heaviest.get_property("INFERENCE_NUM_THREADS")),
    }
    return OpenvinoEngine(models, bundle.manifest, openvino.Tensor, description)


@cache
def shared_core() -> openvino.Core:
    """Return this process's only core.

    Each core's CPU plugin installs its own signal stack and removes it when the core is destroyed. If cores are not
    destroyed in the reverse order of their creation, the remaining signal stack points to freed memory, and the next
    signal (Ctrl-C) causes a segmentation fault instead of an interrupt.

    Raises:
        ImportError: OpenVINO is not installed.
    """
    core: openvino.Core = _import_without_telemetry().Core()
    return core


def _precision_hint(core: openvino.Core, manifest: Manifest, precision: str) -> str:
    """Return the compute precision of the backbone.

    An fp16 file runs in f32 if the CPU does not support f16, or if the file keeps some nodes in f32: the hint applies
    to all nodes, and the values at those nodes would overflow in f16.
    """
    needed, capabilities = _CAPABILITIES.get(precision, "FP32"), _capabilities(core)
    if needed not in capabilities:
        found = f"{_device(core)}: {', '.join(capabilities)}"
        raise MissingError(f"this CPU does not support {precision} ({found})", "choose another precision")
    if precision == "fp16" and "FP16" in capabilities and not manifest.precision_details[precision].kept:
        return "f16"
    return "bf16" if precision == "bf16" else "f32"


def _capabilities(core: openvino.Core) -> list[str]:
    return list(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def _device(core: openvino.Core) -> str:
    name: str = core.get_property("CPU", "FULL_DEVICE_NAME")
    return name.strip()


def _import_without_telemetry() -> ModuleType:
    """Import openvino with its telemetry package hidden, so that openvino uses a stub.

    Otherwise the import itself would send a report to Google Analytics and store an identifier in ``~/intel``, unless a
    file in the user's home folder opts out.
    """
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]  # None: cannot be imported
    modules["openvino_telemetry"] = None
    import openvino

    module: ModuleType = openvino
    return module


def _compile(
    core: openvino.Core, bundle: Bundle[Manifest], part: str, path: Path, threads: int, hint: str
) -> openvino.CompiledModel:
    settings = _settings(bundle.manifest.parts[part], threads, hint)
    try:
        with phase(f"engine/{part}"):
            model = core.read_model(path)
            check_signature(bundle, part, [_tensor_info(tensor) for tensor in (*model.inputs, *model.outputs)])
            compiled = core.compile_model(model, "CPU", settings)
    except (RuntimeError, UnicodeDecodeError) as error:  # the latter if a tensor's name is not UTF-8
        raise BundleError(
            f"OpenVINO cannot load {path}: {_first_reason(error)}", "export the checkpoint again"
        ) from None
    found = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if found != settings["INFERENCE_PRECISION_HINT"]:
        wanted = settings["INFERENCE_PRECISION_HINT"]
        raise MissingError(f"OpenVINO runs {part} in {found} instead of {wanted}", "choose another precision")
    return compiled


def _settings(part: PartSpec, threads: int, hint: str) -> dict[str, str | int | bool]:
    """Return the compile settings for a part: no pinning, and no extra streams for throughput."""
    heavy = is_large_part(part)
    callers = _CALLERS if part.macs == 0 else 1  # one stream each: calls on a stream are serialized
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": hint if heavy else "f32",
        "INFERENCE_NUM_THREADS": threads if heavy else callers,
        "NUM_STREAMS": callers,
        "ENABLE_CPU_PINNING": False,
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
    }


def _count_layers(model: openvino.CompiledModel) -> Counter[str]:
    """Count the matrix-product layers by the precision in which they run."""
    infos = [node.get_rt_info() for node in model.get_runtime_model().get_ops()]
    multiplying = [info for info in infos if info["layerType"].astype(str) in _MULTIPLYING]
    return Counter(info["runtimePrecision"].astype(str) for info in multiplying)


def _tensor_info(tensor: openvino.Output) -> TensorInfo:
    dtype = tensor.get_element_type().to_string()
    shape = tuple(axis.get_length() if axis.is_static else "?" for axis in tensor.get_partial_shape())
    return TensorInfo(tensor.get_any_name(), _DTYPES.get(dtype, dtype), shape)


def _first_reason(error: Exception) -> str:
    """Return the first line of the message that is not a location in OpenVINO's source."""
    lines = str(error).strip().splitlines()
    return next((line for line in lines if not line.startswith(("Exception from", "Check "))), lines[0])
