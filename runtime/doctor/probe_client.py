"""Run probes in subprocesses and collect their results, even if a probe hangs or crashes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.util import find_spec

from ...json_file import parse_json
from .finding import first_line

TIMEOUT_S = 30.0  # an engine's first start on a GPU may take ten seconds; anything beyond this limit is a hang
# What C++ libraries write to stderr is more specific than the resulting exceptions.
_CAUSES = (
    re.compile(r"(\S+: cannot open shared object file)"),
    re.compile(r"(CUDA driver version is insufficient[^\n]*)"),
    re.compile(r"(CUDA initialization failure[^\n]*)"),
)


@dataclass(frozen=True)
class ProbeResult:
    """Result of a probe, which succeeded if ``error`` is empty and did not run if its package is not ``installed``."""

    installed: bool = True
    facts: Mapping[str, str] = field(default_factory=dict)
    error: str = ""
    hung: bool = False

    @property
    def works(self) -> bool:
        """Whether the probe ran and computed the correct output."""
        return self.installed and not self.error

    def get(self, fact: str) -> str:
        """Return a fact, or "" if the probe did not report it."""
        return self.facts.get(fact, "")


ProbeResults = Mapping[str, ProbeResult]
NOT_INSTALLED = ProbeResult(installed=False)


def run_probe(name: str, timeout_s: float = TIMEOUT_S) -> ProbeResult:
    """Run a probe in a subprocess with this process's import path."""
    package = __package__ or "vbench.runtime.doctor"
    code = f"import sys; sys.path[:] = {sys.path!r}; from {package}.probe_main import main; main({name!r})"
    command = [sys.executable, "-c", code]
    try:
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return ProbeResult(error=f"no response within {timeout_s:g} s", hung=True)
    return _parse_result(ended.returncode, ended.stdout, ended.stderr.decode(errors="replace"))


def run_probes() -> dict[str, ProbeResult]:
    """Run the probes of all installed packages, a few at a time, and report the other packages as not installed."""
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        results = {name: result for group in pool.map(lambda chain: chain(), _CHAINS) for name, result in group.items()}
    if results["driver"].works:  # a GPU in exclusive mode accepts one process at a time: retry failed probes one by one
        results |= {name: _run_probe_safely(name) for name in _ON_GPU if results[name].error and not results[name].hung}
    return results


def probe_precisions() -> ProbeResult:
    """Run the probe ``precisions``, which measures times, so no other probe may run at the same time."""
    return _run_probe_safely("precisions") if _is_importable("openvino") else NOT_INSTALLED


def _parse_result(code: int, stdout: bytes, stderr: str) -> ProbeResult:
    try:
        output = parse_json(stdout)
    except ValueError:
        return ProbeResult(error=_cause(stderr) or _end(code, stderr))
    error = output["error"]
    return ProbeResult(facts=output["facts"], error=error and (_cause(stderr) or error))


def _cause(stderr: str) -> str:
    causes = [match.group(1).strip() for pattern in _CAUSES for match in pattern.finditer(stderr)]
    return causes[-1] if causes else ""  # earlier failures may concern optional libraries


def _end(code: int, stderr: str) -> str:
    last = next(reversed(stderr.strip().splitlines()), "")
    ended = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
    return f"{ended}: {last}" if last else ended


def _is_importable(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def _run_if_importable(name: str) -> ProbeResult:
    return _run_probe_safely(name) if _is_importable(name) else NOT_INSTALLED


def _run_probe_safely(name: str) -> ProbeResult:
    try:
        return run_probe(name)
    except Exception as error:  # the process could not be started
        return ProbeResult(error=first_line(error))


def _ort() -> dict[str, ProbeResult]:
    cpu = _run_probe_safely("ort") if _is_importable("onnxruntime") else NOT_INSTALLED
    listed = cpu.get("available")
    return {
        "ort": cpu,
        "ort-cuda": _run_probe_safely("ort-cuda") if "CUDAExecutionProvider" in listed else NOT_INSTALLED,
        "ort-tensorrt": _run_probe_safely("ort-tensorrt") if "TensorrtExecutionProvider" in listed else NOT_INSTALLED,
    }


def _torch() -> dict[str, ProbeResult]:
    cpu = _run_if_importable("torch")
    return {"torch": cpu, "torch-cuda": _run_probe_safely("torch-cuda") if cpu.get("cuda") else NOT_INSTALLED}


def _decoders() -> dict[str, ProbeResult]:
    return {
        "driver": _run_probe_safely("driver"),
        "av": _run_if_importable("av"),
        "pillow": _run_probe_safely("pillow") if _is_importable("PIL") else NOT_INSTALLED,
    }


def _tensorrt_rtx() -> dict[str, ProbeResult]:
    found = _is_importable("tensorrt_rtx_bindings")
    return {"tensorrt-rtx": _run_probe_safely("tensorrt-rtx") if found else NOT_INSTALLED}


def _alone(name: str) -> Callable[[], dict[str, ProbeResult]]:
    return lambda: {name: _run_if_importable(name)}


_ON_GPU = ("ort-cuda", "ort-tensorrt", "torch-cuda", "tensorrt", "tensorrt-rtx", "pycuda")
_CHAINS = (_torch, _ort, *map(_alone, ("openvino", "tensorrt", "pycuda")), _tensorrt_rtx, _decoders)
