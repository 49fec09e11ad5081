"""Device selection: ``cpu``, ``cuda`` or ``cuda:1``, and the options that only GPUs support.

The device is parsed without looking at the machine, so that a typo and a missing GPU cause different errors.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from ...errors import UsageError
from ..bundle.manifest import PartSpec
from .base import PROVIDERS, EngineOptions
from .graph_check import is_large_part

CPU = "cpu"
TF32 = "tf32"
TF32_OVERRIDE = "NVIDIA_TF32_OVERRIDE"  # 0 in the environment disables TF32 in all NVIDIA libraries
_CUDA = re.compile(r"cuda(?::([0-9]{1,3}))?")
_TF32_HINT = "choose another precision, or --provider cuda"
_QUERY = ("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")


class GpuId(NamedTuple):
    """A GPU, identified by its index in CUDA's order."""

    number: int

    def __str__(self) -> str:
        return f"cuda:{self.number}"


def requested_gpu(options: EngineOptions) -> GpuId | None:
    """Return the GPU named in the options, or None if they name none.

    Raises:
        UsageError: the device is not valid.
    """
    if options.device is None or options.device == CPU:
        return None
    found = _CUDA.fullmatch(options.device)
    if found is None:
        raise UsageError(f"unknown device {options.device!r}", "choose cpu, cuda, or cuda:1 for the second GPU")
    return GpuId(int(found[1] or 0))


def select_gpu(options: EngineOptions) -> GpuId | None:
    """Return the GPU to run on, or None for the CPU.

    Raises:
        UsageError: the device or provider is not valid, or a GPU-only option was given for the CPU.
    """
    gpu = requested_gpu(options)
    _check_provider(options)
    if gpu is None:
        option = _gpu_only_option(options)
        if option:
            raise UsageError(f"{option} requires a GPU", "add --device cuda")
        return None
    check_tf32(options)
    if options.provider != PROVIDERS[0]:
        # The documentation of TensorRT's provider does not promise one graph per set of addresses; a graph replayed at
        # other addresses produces wrong results
        if options.graphs:
            raise UsageError(f"--provider {options.provider} does not support --graphs", "omit one of them")
        if options.precision == TF32:
            raise UsageError(f"--provider {options.provider} has no option for {TF32}", _TF32_HINT)
    return gpu


def _check_provider(options: EngineOptions) -> None:
    if options.provider not in PROVIDERS:
        raise UsageError(f"unknown provider {options.provider!r}", f"choose one of {', '.join(PROVIDERS)}")


def _gpu_only_option(options: EngineOptions) -> str | None:
    """Return an option that was given although it has an effect only on a GPU; None if there is none."""
    if options.precision == TF32:
        return f"--precision {TF32}"
    if options.graphs:
        return "--graphs"
    return None if options.provider == PROVIDERS[0] else f"--provider {options.provider}"


def check_tf32(options: EngineOptions) -> None:
    """Raise an error if TF32 was requested and the environment disables it.

    Raises:
        UsageError: the environment disables TF32.
    """
    if options.precision == TF32 and os.environ.get(TF32_OVERRIDE) == "0":
        raise UsageError(f"{TF32_OVERRIDE}=0 disables {TF32}", "unset it, or choose --precision fp32")


def reject_gpu(engine: str, options: EngineOptions) -> None:
    """Raise an error if the options require a GPU.

    Raises:
        UsageError: the options require a GPU or name an invalid device.
    """
    if select_gpu(options) is not None:
        hint = "choose --engine ort or --engine torch"
        raise UsageError(f"the {engine} engine runs only on the CPU, not on {options.device}", hint)


def reject_provider(engine: str, options: EngineOptions) -> None:
    """Raise an error for a provider other than the default, since only ONNX Runtime has providers.

    Raises:
        UsageError: the options name another provider, valid or not.
    """
    _check_provider(options)
    if options.provider != PROVIDERS[0]:
        what = f"the {engine} engine does not support --provider {options.provider}"
        raise UsageError(what, "omit --provider, or choose --engine ort")


def file_precision(options: EngineOptions) -> str:
    """Return the precision of the bundle files to load: TF32 uses the fp32 files."""
    return "fp32" if options.precision == TF32 else options.precision


def uses_tf32(part: PartSpec, options: EngineOptions) -> bool:
    """Return whether a part computes products in TF32: large parts do if TF32 is requested, but gates never do."""
    return options.precision == TF32 and is_large_part(part)


def gpu_names() -> tuple[str, ...]:
    """Return the names of this machine's GPUs in the driver's order; empty if nvidia-smi fails."""
    try:
        found = subprocess.run(_QUERY, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in found.stdout.splitlines() if line.strip())


def gpu_name(names: Sequence[str]) -> str:
    """Return a name that covers all ``names``, since CUDA orders the GPUs differently from nvidia-smi."""
    different = sorted(set(names))
    return " or ".join(different) if different else "unknown GPU"
