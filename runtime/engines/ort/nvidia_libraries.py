"""Preload the NVIDIA libraries that ONNX Runtime's GPU providers link to, from the folders where pip installs them.

ONNX Runtime silently omits a provider if the loader does not find its libraries, so they are loaded beforehand.
"""

from __future__ import annotations

import ctypes
import io
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path

# In dependency order. The published onnxruntime-gpu links to TensorRT 10, whatever version of `tensorrt` is installed.
_TENSORRT = ("libnvinfer.so.10", "libnvinfer_plugin.so.10", "libnvonnxparser.so.10")


def load_cuda_libraries() -> None:
    """Load the CUDA and cuDNN libraries installed by pip, if ONNX Runtime supports this (since 1.21)."""
    import onnxruntime

    if hasattr(onnxruntime, "preload_dlls"):
        with redirect_stdout(io.StringIO()):  # it prints every library that it does not find, needed or not
            onnxruntime.preload_dlls()


def load_tensorrt_libraries() -> str | None:
    """Load the TensorRT libraries (after the CUDA libraries); return the error of the first one that fails to load."""
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
