"""How to get a package that an engine needs, in a line that a user can copy.

Packages go by their own names: an extra of vbench's would be looked for in a project of the same name on PyPI wherever
vbench is used from a bare checkout.
"""

from __future__ import annotations

from importlib import metadata

from ...errors import MissingError

_WANTED = {  # the packages of each extra, as pip takes them; a GPU's also with the libraries of CUDA
    "cpu": "onnxruntime",
    "gpu": "'onnxruntime-gpu[cuda,cudnn]' nvidia-ml-py",
    "openvino": "openvino",
    "trt": "tensorrt pycuda cuda-bindings nvidia-ml-py",
    "export": "torch onnx onnxscript",
}
_BUILT_HERE = "pycuda"  # from source: pip would install once more what it built before


def install(extra: str) -> str:
    """Return the command that installs what an extra stands for."""
    return f"pip install {_WANTED[extra]}"


def reinstall(package: str) -> str:
    """Return the command that installs a package anew, in the version that is there."""
    version = installed_version(package)
    pinned = package if version is None else f"{package}=={version}"
    anew = " --no-deps --no-cache-dir" if package == _BUILT_HERE else ""
    return f"pip install --force-reinstall{anew} {pinned}"


def installed_version(package: str) -> str | None:
    """Return which version of a package is installed, None if none is."""
    try:
        return metadata.version(package)
    except (metadata.PackageNotFoundError, ValueError):  # of a name that none can have
        return None


def missing_package(package: str, extra: str) -> MissingError:
    """Return the error for a package that is not installed."""
    return MissingError(f"{package} is not installed", install(extra))
