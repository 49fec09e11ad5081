"""Install commands for optional packages.

The commands name the packages instead of vbench's extras: if vbench runs from a bare checkout, pip would look for the
extras in whatever PyPI project has the same name.
"""

from __future__ import annotations

from importlib import metadata

from ...errors import MissingError

_RTX = "1.7.1.116"  # the release whose parser and builder vbench is tested with
_PACKAGES = {  # arguments to pip for the packages of each extra, including the CUDA libraries for GPUs
    "cpu": "onnxruntime",
    "gpu": "'onnxruntime-gpu[cuda,cudnn]' nvidia-ml-py",
    "openvino": "openvino",
    "trt": "tensorrt pycuda cuda-bindings nvidia-ml-py",
    "trt-rtx": f"tensorrt-rtx-cu13-libs=={_RTX} tensorrt-rtx-cu13-bindings=={_RTX} pycuda cuda-bindings nvidia-ml-py",
    "export": "torch onnx onnxscript",
    "migrate": "onnx",
    "loadgen": "mlcommons-loadgen",
    "fast": "numba simplejpeg",
}
_BUILT_FROM_SOURCE = "pycuda"  # pip would reuse its cached build


def install(extra: str) -> str:
    """Return the command that installs the packages of an extra."""
    return f"pip install {_PACKAGES[extra]}"


def reinstall(package: str) -> str:
    """Return the command that reinstalls the installed version of a package."""
    version = installed_version(package)
    pinned = package if version is None else f"{package}=={version}"
    rebuild = " --no-deps --no-cache-dir" if package == _BUILT_FROM_SOURCE else ""
    return f"pip install --force-reinstall{rebuild} {pinned}"


def installed_version(package: str) -> str | None:
    """Return the installed version of a package, or None if it is not installed."""
    try:
        return metadata.version(package)
    except (metadata.PackageNotFoundError, ValueError):  # the package name is invalid
        return None


def missing_package(package: str, extra: str) -> MissingError:
    """Return the error for a package that is not installed."""
    return MissingError(f"{package} is not installed", install(extra))
