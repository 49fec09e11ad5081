"""Probe for low precisions: the speed of one convolution in OpenVINO; ``probe_main`` runs it in a subprocess.

The convolution is one of ResNet-50's, so its speed is about that of a backbone whose layers all run in the precision.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .probe_engines import Facts

if TYPE_CHECKING:
    import openvino

_SHAPE = (1, 256, 28, 28)
_ROUNDS, _CALLS = 5, 4
_CAPABILITIES = {"bf16": "BF16", "int8": "INT8"}


def precisions() -> Facts:
    """Return the speed of each precision relative to fp32; "" for one that the CPU does not compute in."""
    import numpy as np

    from ..engines.openvino import shared_core
    from ..telemetry.cpus import usable_cpus

    core = shared_core()
    supported = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    names = ["fp32", *(name for name, capability in _CAPABILITIES.items() if capability in supported)]
    models = {name: _compiled(core, name, usable_cpus()) for name in names}
    models = {name: model for name, model in models.items() if name == "fp32" or _runs_in(model, name)}
    requests = {name: model.create_infer_request() for name, model in models.items()}
    pixels = np.random.default_rng(0).random(_SHAPE, np.float32)
    times_ms: dict[str, list[float]] = {name: [] for name in requests}
    for _ in range(_ROUNDS):  # in turns, so that a disturbance affects all of them
        for name, request in requests.items():
            request.infer([pixels])
            for _ in range(_CALLS):
                start = time.perf_counter()
                request.infer([pixels])
                times_ms[name].append(1e3 * (time.perf_counter() - start))
    median_ms = {name: float(np.median(values)) for name, values in times_ms.items()}
    return {name: f"{median_ms['fp32'] / median_ms[name]:.1f}" if name in median_ms else "" for name in _CAPABILITIES}


def _compiled(core: openvino.Core, precision: str, threads: int) -> openvino.CompiledModel:
    """Compile a 3 x 3 convolution; 8-bit precision is requested by quantizing its input and its weights."""
    import numpy as np
    import openvino
    from openvino import opset13

    channels = _SHAPE[1]
    pixels = opset13.parameter(_SHAPE, np.float32)
    weights = np.random.default_rng(0).standard_normal((channels, channels, 3, 3)).astype(np.float32)
    inputs: tuple[Any, Any] = (pixels, opset13.constant(weights))
    if precision == "int8":
        bounds = ((0.0, 1.0, 256), (-4.0, 4.0, 255))
        inputs = (_quantized(inputs[0], *bounds[0]), _quantized(inputs[1], *bounds[1]))
    output = opset13.convolution(*inputs, [1, 1], [1, 1], [1, 1], [1, 1])
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "INFERENCE_NUM_THREADS": threads,
    }
    return core.compile_model(openvino.Model([output], [pixels]), "CPU", settings)


def _quantized(node: Any, low: float, high: float, levels: int) -> Any:
    import numpy as np
    from openvino import opset13

    ends = [opset13.constant(np.full((1, 1, 1, 1), end, np.float32)) for end in (low, high)]
    return opset13.fake_quantize(node, *ends, *ends, levels)


def _runs_in(model: openvino.CompiledModel, precision: str) -> bool:
    """Return whether the convolution is really computed in this precision."""
    infos = [node.get_rt_info() for node in model.get_runtime_model().get_ops()]
    found = {info["runtimePrecision"].astype(str) for info in infos if info["layerType"].astype(str) == "Convolution"}
    return bool(found) and found <= ({"bf16"} if precision == "bf16" else {"i8", "u8"})
