"""Probes for the CUDA driver, TensorRT and PyCUDA; each runs in its own subprocess."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

from .probe_engines import SHAPE, Facts, check_output


def tensorrt() -> Facts:
    """Build a single-layer plan with TensorRT, which times kernels on the GPU, and then load it."""
    import tensorrt

    if not _gpus():
        raise RuntimeError("the driver reports no GPU")
    logger = tensorrt.Logger(tensorrt.Logger.ERROR)
    _load(tensorrt, logger, _build(tensorrt, logger))
    return {"version": tensorrt.__version__}


def tensorrt_rtx() -> Facts:
    """Build a single-layer plan with TensorRT-RTX, which needs no GPU, and then load it if there is one."""
    import tensorrt_rtx_bindings

    logger = tensorrt_rtx_bindings.Logger(tensorrt_rtx_bindings.Logger.ERROR)
    plan = _build(tensorrt_rtx_bindings, logger)
    try:
        gpus = _gpus()
    except (OSError, RuntimeError):  # no driver, which has a finding of its own
        gpus = 0
    if gpus:
        _load(tensorrt_rtx_bindings, logger, plan)
    return {"version": tensorrt_rtx_bindings.__version__, "loaded": "yes" if gpus else ""}


def pycuda() -> Facts:
    """Copy some numbers to the GPU and back with PyCUDA."""
    import numpy as np
    import pycuda
    from pycuda import driver as cuda

    cuda.init()
    context = cuda.Device(0).retain_primary_context()
    context.push()
    try:
        there, back = np.ones(SHAPE, np.float32), np.zeros(SHAPE, np.float32)
        memory = cuda.mem_alloc(there.nbytes)
        cuda.memcpy_htod(memory, there)
        cuda.memcpy_dtoh(back, memory)
        memory.free()
    finally:
        cuda.Context.pop()
    check_output(3 * back)
    return {"version": pycuda.VERSION_TEXT}


def driver() -> Facts:
    """Query the CUDA driver for its version and the number of GPUs."""
    cuda = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    version, gpus = ctypes.c_int(), ctypes.c_int()
    for code in (
        cuda.cuInit(0),
        cuda.cuDriverGetVersion(ctypes.byref(version)),
        cuda.cuDeviceGetCount(ctypes.byref(gpus)),
    ):
        if code:
            raise RuntimeError(f"the CUDA driver failed to initialize: error {code}{_driver_words(cuda, code)}")
    return {"cuda": f"{version.value // 1000}.{version.value % 1000 // 10}", "gpus": str(gpus.value)}


def _gpus() -> int:
    return int(driver()["gpus"])


def _build(trt: Any, logger: Any) -> Any:
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    pixels = network.add_input("x", trt.DataType.FLOAT, SHAPE)
    network.mark_output(network.add_activation(pixels, trt.ActivationType.RELU).get_output(0))
    plan = builder.build_serialized_network(network, builder.create_builder_config())
    if plan is None:  # TensorRT reports failures only in its log, which goes to stderr
        raise RuntimeError("TensorRT cannot build a plan")
    return plan


def _load(trt: Any, logger: Any, plan: Any) -> None:
    engine = trt.Runtime(logger).deserialize_cuda_engine(plan)
    if engine is None or engine.create_execution_context() is None:
        raise RuntimeError("TensorRT cannot load the plan that it built")


def _driver_words(cuda: ctypes.CDLL, code: int) -> str:
    words = ctypes.c_char_p()
    cuda.cuGetErrorString(code, ctypes.byref(words))
    return f" ({words.value.decode(errors='replace')})" if words.value else ""
