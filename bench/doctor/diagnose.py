"""Diagnose this machine: run all checks of ``vbench doctor``."""

from __future__ import annotations

from pathlib import Path

from ...errors import RunError
from ...runtime.doctor import cpu, decoders, disk, engines, gpu, precisions
from ...runtime.doctor.finding import CheckResult, Finding, absent, findings, ok, run_check
from ...runtime.doctor.probe_client import probe_precisions, run_probes
from ..records.run_file import read_run, runs_in


def diagnose(data: Path | None = None) -> list[Finding]:
    """Return the findings by topic. Isolated checks run the engines, which takes several seconds."""
    answers = run_probes()
    return [
        *run_check("machine", cpu.check),
        *run_check("machine", lambda: precisions.check(probe_precisions())),
        *run_check("engines", lambda: engines.check(answers)),
        *run_check("versions", lambda: engines.check_versions(answers)),
        *run_check("gpu", lambda: gpu.check(answers)),
        *run_check("decoders", lambda: decoders.check(answers)),
        *run_check("disk", lambda: [*disk.check(), *check_runs()]),
        *run_check("data", lambda: _data(data)),
    ]


def check_runs() -> list[Finding]:
    """Return findings on the runs in the folder ``runs``."""
    return findings("disk", {"runs": _runs})


def _runs() -> CheckResult:
    runs = runs_in(Path("runs"))
    if not runs:
        return absent("none in runs/", "vbench run BUNDLE")
    states = {run.name: _state(run) for run in runs}
    named = {state: [name for name in states if states[name] == state] for state in ("unfinished", "not readable")}
    problems = [f"{len(names)} {state}: {disk.some(names)}" for state, names in named.items() if names]
    return ok(", ".join([str(len(runs)), *problems]))


def _state(run: Path) -> str:
    try:
        return "complete" if read_run(run).complete else "unfinished"
    except RunError:
        return "not readable"


def _data(data: Path | None) -> list[Finding]:
    from .discover import check  # data set readers need packages that may themselves be broken

    return check(data)
