"""What this machine has: the doctor's findings, without those that have nothing to do with speed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vbench.runtime.doctor import cpu, engines, gpu
from vbench.runtime.doctor.finding import Finding, run_check
from vbench.runtime.doctor.probe_client import run_probes

_FOLDERS = re.compile(r"(?<![\w./:])/(?:[^\s/:'\",;()]+/)+")
_PROCESSES = re.compile(r"pid \d+")
_GPU_ENGINES = ("ort CUDA", "ort TensorRT", "torch CUDA", "tensorrt")


def inspect_machine() -> list[Finding]:
    """Try everything, each in a process of its own."""
    answers = run_probes()
    return [
        *run_check("machine", cpu.check),
        *run_check("engines", lambda: engines.check(answers)),
        *run_check("versions", lambda: engines.check_versions(answers)),
        *run_check("gpu", lambda: gpu.check(answers)),
    ]


def gpu_problem(found: Sequence[Finding]) -> str:
    """Return in a line what keeps the GPU from being used, "" if an engine computes on it."""
    wanted = [one for one in found if one.topic == "engines" and one.what in _GPU_ENGINES]
    if any(one.state == "ok" for one in wanted):
        return ""
    nvml = [f"{one.what}: {one.detail}" for one in found if one.topic == "gpu" and one.state != "ok"]
    return "; ".join([*nvml[:1], *(f"{one.what}: {one.detail}" for one in wanted)])


def gpu_name(found: Sequence[Finding]) -> str:
    """Return the name of the first GPU, as NVML or torch tells it."""
    details = {(one.topic, one.what): one.detail for one in found if one.state == "ok"}
    if ("gpu", "gpu 0") in details:
        return details["gpu", "gpu 0"].split(",")[0]
    _, _, name = details.get(("engines", "torch CUDA"), "").partition(", ")
    return name or "unknown GPU"


def slug(name: str) -> str:
    """Return a name as a part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "gpu"


def without_folders(text: str) -> str:
    """Shorten paths to the names of their files: a record is published, and folders are nobody's business."""
    return _PROCESSES.sub("a process", _FOLDERS.sub("", text))
