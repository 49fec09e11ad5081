"""The libraries of NVIDIA's that ONNX Runtime's GPU providers are linked with, found where pip has put them.

A provider whose libraries the loader does not find is left out silently, so they are loaded before it is asked for.
"""

from __future__ import annotations

import ctypes
import io
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path

# In the order of their needs. Published onnxruntime-gpu is linked with TensorRT 10, whatever `tensorrt` is installed.
_TENSORRT = ("libnvinfer.so.10", "libnvinfer_plugin.so.10", "libnvonnxparser.so.10")


def load_cuda_libraries() -> None:
    """Load those of CUDA and cuDNN that pip has installed, if this ONNX Runtime knows how (from 1.21 on)."""
    import onnxruntime

    if hasattr(onnxruntime, "preload_dlls"):
        with redirect_stdout(io.StringIO()):  # it prints what it does not find, needed or not
            onnxruntime.preload_dlls()


def load_tensorrt_libraries() -> str | None:
    """Load those of TensorRT, after CUDA's, and return why the first one that cannot be loaded is not."""
    reasons = [_load(name) for name in _TENSORRT]
    return next((reason for reason in reasons if reason), None)


def _load(name: str) -> str | None:
    reason = None
    for path in (name, *_in_pip_folder(name)):
        try:
            ctypes.CDLL(path, ctypes.RTLD_GLOBAL)
        except OSError as error:
            reason = reason or str(error)
        else:
            return None
    return reason


def _in_pip_folder(name: str) -> list[str]:
    spec = find_spec("tensorrt_libs")
    folders = (spec.submodule_search_locations or []) if spec else []
    return [str(path) for folder in folders for path in Path(folder).glob(name)]
