"""Probes for the ONNX engines, all of which run the same convolution; ``probe_main`` runs them in a subprocess."""

from __future__ import annotations

import sys
from typing import Any

from ..engines.ort.nvidia_libraries import load_cuda_libraries, load_tensorrt_libraries

Facts = dict[str, str]
# An ONNX graph (opset 17) with one node: y [1, 1, 8, 8] = Conv(x [1, 3, 8, 8], three weights of 1). A test checks it
# with onnx.
MODEL = (
    b'\x08\x08:k\n\x0f\n\x01x\n\x01w\x12\x01y"\x04Conv\x12\x01g*\x1b\x08\x01\x08\x03\x08\x01\x08\x01\x10\x01"\x0c\x00'
    b"\x00\x80?\x00\x00\x80?\x00\x00\x80?B\x01wZ\x1b\n\x01x\x12\x16\n\x14\x08\x01\x12\x10\n\x02\x08\x01\n\x02\x08\x03\n"
    b"\x02\x08\x08\n\x02\x08\x08b\x1b\n\x01y\x12\x16\n\x14\x08\x01\x12\x10\n\x02\x08\x01\n\x02\x08\x01\n\x02\x08\x08\n"
    b"\x02\x08\x08B\x04\n\x00\x10\x11"
)
SHAPE = (1, 3, 8, 8)


def ort() -> Facts:
    """Run ONNX Runtime on the CPU."""
    import onnxruntime

    _run_session("CPUExecutionProvider")
    return {
        "version": onnxruntime.__version__,
        "package": getattr(onnxruntime, "package_name", ""),
        "cuda": getattr(onnxruntime, "cuda_version", "") or "",
        "available": ",".join(onnxruntime.get_available_providers()),
    }


def ort_cuda() -> Facts:
    """Run ONNX Runtime's CUDA provider."""
    return _run_session("CUDAExecutionProvider")


def ort_tensorrt() -> Facts:
    """Run ONNX Runtime's TensorRT provider."""
    load_cuda_libraries()
    missing = load_tensorrt_libraries()
    try:
        return _run_session("TensorrtExecutionProvider")
    except Exception as error:
        raise RuntimeError(missing or str(error)) from None  # ONNX Runtime reports only a missing provider


def _run_session(provider: str) -> Facts:
    import numpy as np
    import onnxruntime

    if provider != "CPUExecutionProvider":
        load_cuda_libraries()
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    if provider != "CPUExecutionProvider":
        settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    session = onnxruntime.InferenceSession(MODEL, settings, providers=[provider])
    if provider not in session.get_providers():
        raise RuntimeError(f"fell back to {', '.join(session.get_providers())}")
    check_output(session.run(None, {"x": np.ones(SHAPE, np.float32)})[0])
    return {"provider": provider}


def openvino() -> Facts:
    """Run OpenVINO on the CPU."""
    import numpy as np

    from ..engines.openvino import shared_core

    core = shared_core()
    model = core.compile_model(core.read_model(MODEL), "CPU")
    check_output(model(np.ones(SHAPE, np.float32))[0])
    capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return {"version": sys.modules["openvino"].__version__.split("-")[0], "capabilities": ", ".join(capabilities)}


def check_output(output: Any) -> None:
    """Raise an error unless every output value is 3, the sum of three ones."""
    if not (abs(output - 3) < 1e-2).all():
        raise RuntimeError(f"computed {output.ravel()[0]:g} instead of 3")
