"""Measurement environment: machine, operating system, and versions of the relevant packages."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path

from .cpus import affinity_cpus, usable_cpus

_PACKAGES = ("vbench", "numpy", "numba", "pillow", "simplejpeg", "av", "polars", "onnxruntime", "onnxruntime-gpu",
             "openvino", "onnx", "torch", "tensorrt", "tensorrt-rtx-cu13-bindings")  # fmt: skip


def machine() -> dict[str, str | int]:
    """Return the processor, cores, operating system and Python version, without user or host names.

    ``cores`` is the size of the affinity mask; ``usable_cpus`` is present if a container's quota is smaller.
    """
    cores, usable = affinity_cpus(), usable_cpus()
    return {
        "processor": _processor(),
        "cores": cores,
        **({"usable_cpus": usable} if usable < cores else {}),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Return the installed versions of the packages that may affect a run."""
    installed = {}
    for package in _PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed


def cpu_flags() -> frozenset[str]:
    """Return the instruction-set extensions of the processor by their names in ``/proc/cpuinfo``; empty if unknown."""
    return frozenset((_cpu_entry("flags") or _cpu_entry("Features")).split())  # x86, Arm


def _processor() -> str:
    return _cpu_entry("model name") or platform.processor() or "unknown"


def _cpu_entry(name: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")
