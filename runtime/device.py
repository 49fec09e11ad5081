"""Which processor the parts run on, as a user says it: ``cpu``, ``cuda`` or ``cuda:1``.

This is told apart from what a machine has, so that a slip of the pen is one error and a missing GPU another.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from ..errors import UsageError
from .engine import EngineOptions

CPU = "cpu"
PROVIDERS = ("cuda", "tensorrt")
_CUDA = re.compile(r"cuda(?::([0-9]{1,3}))?")
_QUERY = ("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")


class Gpu(NamedTuple):
    """A GPU by its number in CUDA's order."""

    number: int

    def __str__(self) -> str:
        return f"cuda:{self.number}"


def chosen_gpu(options: EngineOptions) -> Gpu | None:
    """Return the GPU to run on, None for the CPU.

    Raises:
        UsageError: no such device or provider, or options that only a GPU has were given for the CPU.
    """
    found = _CUDA.fullmatch(options.device)
    if found is None and options.device != CPU:
        raise UsageError(f"no device {options.device!r}", "choose cpu, cuda, or cuda:1 for the second GPU")
    if options.provider not in PROVIDERS:
        raise UsageError(f"no provider {options.provider!r}", f"choose one of {', '.join(PROVIDERS)}")
    if found is None and (options.provider != PROVIDERS[0] or options.capture):
        given = "--graphs" if options.capture else f"--provider {options.provider}"
        raise UsageError(f"{given} is for a GPU", "add --device cuda")
    if options.capture and options.provider != PROVIDERS[0]:
        # nothing says that TensorRT's provider keeps a graph for each place; one replayed at another answers wrongly
        raise UsageError(f"no --graphs with --provider {options.provider}", "leave one of them out")
    return None if found is None else Gpu(int(found[1] or 0))


def refuse_gpu(engine: str, options: EngineOptions) -> None:
    """Refuse all that only a GPU has.

    Raises:
        UsageError: the options ask for a GPU, or for something that no device is.
    """
    if chosen_gpu(options) is not None:
        raise UsageError(f"the engine {engine} runs on the CPU, not on {options.device}", "choose ort or torch for it")


def refuse_provider(engine: str, options: EngineOptions) -> None:
    """Refuse a provider other than the default: only ONNX Runtime has them.

    Raises:
        UsageError: the options name one, or something that no device is.
    """
    chosen_gpu(options)
    if options.provider != PROVIDERS[0]:
        raise UsageError(f"the engine {engine} has no --provider {options.provider}", "it is for the engine ort")


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
