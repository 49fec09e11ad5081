"""Everything that decides whether vbench works well on this machine, in one list."""

from __future__ import annotations

from pathlib import Path

from ..runtime.doctor import cpu, decoders, disk, engines, gpu
from ..runtime.doctor.finding import Finding, guarded
from ..runtime.doctor.probe_client import ask_all


def diagnose(data: Path | None = None) -> list[Finding]:
    """Return the findings, by topic. No check can end the others; a few seconds, as engines are tried for real."""
    answers = ask_all()
    return [
        *guarded("machine", cpu.check),
        *guarded("engines", lambda: engines.check(answers)),
        *guarded("versions", lambda: engines.check_versions(answers)),
        *guarded("gpu", lambda: gpu.check(answers)),
        *guarded("decoders", lambda: decoders.check(answers)),
        *guarded("disk", disk.check),
        *guarded("data", lambda: _data(data)),
    ]


def _data(data: Path | None) -> list[Finding]:
    from .datasets.discover import check  # the readers of data sets need packages that may be what is broken

    return check(data)
