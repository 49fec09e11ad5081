"""The machine, for a record that is published: the doctor's findings, and text without folders and process ids."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vbench.runtime.doctor import cpu, engines, gpu
from vbench.runtime.doctor.finding import Finding, run_check
from vbench.runtime.doctor.probe_client import run_probes

_FOLDERS = re.compile(r"(?<![\w./:])/(?:[^\s/:'\",;()]+/)+")
_PROCESSES = re.compile(r"pid \d+")
_GPU_ENGINES = ("ort CUDA", "ort TensorRT", "torch CUDA", "tensorrt", "tensorrt-rtx")


def inspect_machine() -> list[Finding]:
    """Run the probes, each in a separate process, and return their findings."""
    answers = run_probes()
    return [
        *run_check("machine", cpu.check),
        *run_check("engines", lambda: engines.check(answers)),
        *run_check("versions", lambda: engines.check_versions(answers)),
        *run_check("gpu", lambda: gpu.check(answers)),
    ]


def gpu_problem(found: Sequence[Finding]) -> str:
    """Return one line on why no engine runs on the GPU; an empty string if one does."""
    candidates = [one for one in found if one.topic == engines.TOPIC and one.what in _GPU_ENGINES]
    if any(one.state == "ok" for one in candidates):
        return ""
    nvml = [f"{one.what}: {one.detail}" for one in found if one.topic == gpu.TOPIC and one.state != "ok"]
    return "; ".join([*nvml[:1], *(f"{one.what}: {one.detail}" for one in candidates)])


def gpu_name(found: Sequence[Finding]) -> str:
    """Return the name of the first GPU, from NVML or torch."""
    details = {(one.topic, one.what): one.detail for one in found if one.state == "ok"}
    if (gpu.TOPIC, "gpu 0") in details:
        return details[gpu.TOPIC, "gpu 0"].split(",")[0]
    _, _, name = details.get((engines.TOPIC, "torch CUDA"), "").partition(", ")
    return name or "unknown GPU"


def slug(name: str) -> str:
    """Return ``name`` in a form suitable for file names."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "gpu"


def without_folders(text: str) -> str:
    """Shorten paths to file names and drop process ids, because records are published."""
    return _PROCESSES.sub("a process", _FOLDERS.sub("", text))
