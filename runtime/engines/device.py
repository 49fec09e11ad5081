"""Which processor the parts run on, as a user says it: ``cpu``, ``cuda`` or ``cuda:1``; and what only GPUs have.

This is told apart from what a machine has, so that a slip of the pen is one error and a missing GPU another.
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
TF32_OVERRIDE = "NVIDIA_TF32_OVERRIDE"  # 0 in the environment: no library of NVIDIA's uses it, whatever it is asked for
_CUDA = re.compile(r"cuda(?::([0-9]{1,3}))?")
_OTHERS = "choose another precision, or --provider cuda"
_QUERY = ("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")


class GpuId(NamedTuple):
    """A GPU by its number in CUDA's order."""

    number: int

    def __str__(self) -> str:
        return f"cuda:{self.number}"


def requested_gpu(options: EngineOptions) -> GpuId | None:
    """Return the GPU that the options name, None where they name none.

    Raises:
        UsageError: no such device.
    """
    if options.device is None or options.device == CPU:
        return None
    found = _CUDA.fullmatch(options.device)
    if found is None:
        raise UsageError(f"no device {options.device!r}", "choose cpu, cuda, or cuda:1 for the second GPU")
    return GpuId(int(found[1] or 0))


def select_gpu(options: EngineOptions) -> GpuId | None:
    """Return the GPU to run on, None for the CPU.

    Raises:
        UsageError: no such device or provider, or options that only a GPU has were given for the CPU.
    """
    gpu = requested_gpu(options)
    _check_provider(options)
    if gpu is None:
        given = _only_on_a_gpu(options)
        if given:
            raise UsageError(f"{given} is for a GPU", "add --device cuda")
        return None
    check_tf32(options)
    if options.provider != PROVIDERS[0]:
        # nothing says that TensorRT's provider keeps a graph for each place; one replayed at another answers wrongly
        if options.graphs:
            raise UsageError(f"no --graphs with --provider {options.provider}", "leave one of them out")
        if options.precision == TF32:
            raise UsageError(f"no {TF32} with --provider {options.provider}, which has no option for it", _OTHERS)
    return gpu


def _check_provider(options: EngineOptions) -> None:
    if options.provider not in PROVIDERS:
        raise UsageError(f"no provider {options.provider!r}", f"choose one of {', '.join(PROVIDERS)}")


def _only_on_a_gpu(options: EngineOptions) -> str | None:
    """Return an option that was given and means nothing on the CPU."""
    if options.precision == TF32:
        return f"--precision {TF32}"
    if options.graphs:
        return "--graphs"
    return None if options.provider == PROVIDERS[0] else f"--provider {options.provider}"


def check_tf32(options: EngineOptions) -> None:
    """Refuse TF32 where the environment forbids it.

    Raises:
        UsageError: it does.
    """
    if options.precision == TF32 and os.environ.get(TF32_OVERRIDE) == "0":
        raise UsageError(f"{TF32_OVERRIDE}=0 forbids {TF32}", "unset it, or choose --precision fp32")


def reject_gpu(engine: str, options: EngineOptions) -> None:
    """Refuse all that only a GPU has.

    Raises:
        UsageError: the options ask for a GPU, or for something that no device is.
    """
    if select_gpu(options) is not None:
        raise UsageError(f"the engine {engine} runs on the CPU, not on {options.device}", "choose ort or torch for it")


def reject_provider(engine: str, options: EngineOptions) -> None:
    """Refuse a provider other than the default: only ONNX Runtime has them.

    Raises:
        UsageError: the options name one, or something that none is.
    """
    _check_provider(options)
    if options.provider != PROVIDERS[0]:
        raise UsageError(f"the engine {engine} has no --provider {options.provider}", "it is for the engine ort")


def file_precision(options: EngineOptions) -> str:
    """Return which of a bundle's files are computed from: TF32 is a way to multiply those of fp32."""
    return "fp32" if options.precision == TF32 else options.precision


def uses_tf32(part: PartSpec, options: EngineOptions) -> bool:
    """Say whether products of a part are rounded to TF32: large parts' where it is asked for, a gate's never."""
    return options.precision == TF32 and is_large_part(part)


def gpu_names() -> tuple[str, ...]:
    """Return the names of this machine's GPUs in the driver's order, none where its own tool does not tell."""
    try:
        found = subprocess.run(_QUERY, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in found.stdout.splitlines() if line.strip())


def gpu_name(names: Sequence[str]) -> str:
    """Return the name that fits every one of ``names``: CUDA counts in another order than the driver's tool."""
    different = sorted(set(names))
    return " or ".join(different) if different else "unknown GPU"
