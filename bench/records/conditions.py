"""Conditions under which a run was measured, and whether its times can be trusted.

A run whose conditions are UNSTABLE has valid predictions and costs, but its times depend on what else the machine was
doing. Conditions are unknown for runs from earlier versions, for runs of less than a quarter of a second, and on
systems that do not report the load from other processes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from ...runtime.telemetry.gpu_record import GpuRecord
from ...runtime.telemetry.host_record import HostRecord
from ...runtime.telemetry.stability import problems
from .run_file import RunRecord

Validity = Literal["VALID", "UNSTABLE", "INVALID"]
"""Verdict on a measurement. INVALID means too few samples or wrong answers, so conditions are never INVALID."""
CONDITIONS = "conditions"


@dataclass(frozen=True)
class Conditions:
    """Verdict on the conditions of a run, with the signals that exceeded their limits, one line each.

    Attributes:
        videos: number of videos measured under them; fewer than in the run if it was resumed.
        other_share: share of the CPUs that other processes used; None if unknown.
    """

    verdict: Validity
    reasons: tuple[str, ...]
    videos: int
    other_share: float | None = None


def conditions(host: HostRecord | None, gpu: GpuRecord | None, videos: int) -> Conditions | None:
    """Return the conditions from the records of a run of ``videos`` videos; None if they are unknown."""
    reasons = tuple(problem.text for problem in problems(host, gpu))
    share = None if host is None or host.other_cpus is None else host.other_cpus / host.cpus
    if reasons:
        return Conditions("UNSTABLE", reasons, videos, share)
    return None if share is None else Conditions("VALID", (), videos, share)


def condition_metrics(host: HostRecord | None, gpu: GpuRecord | None, videos: int) -> dict[str, Any]:
    """Return the entries of a run's metrics; see `read_conditions`."""
    found = conditions(host, gpu, videos)
    verdict = found and {**asdict(found), "reasons": list(found.reasons)}
    return {"gpu": gpu and gpu.as_dict(), "host": host and host.as_dict(), CONDITIONS: verdict}


def read_conditions(record: RunRecord) -> Conditions | None:
    """Return the conditions of a finished run; None if they are unknown.

    Raises:
        RunError: they are damaged.
    """
    if record.object("metrics").content.get(CONDITIONS) is None:
        return None
    found = replace(record.object("metrics").object(CONDITIONS), within=f"metrics.{CONDITIONS}")
    verdict = found.get("verdict", str)
    if verdict not in ("VALID", "UNSTABLE"):
        raise found.error("verdict", f"is {verdict!r}, not VALID or UNSTABLE")
    return Conditions(
        verdict="VALID" if verdict == "VALID" else "UNSTABLE",
        reasons=tuple(map(str, found.get("reasons", list))),
        videos=found.get("videos", int),
        other_share=found.number_or_none("other_share"),
    )


def conditions_text(found: Conditions, videos: int) -> str:
    """Describe the conditions of a run of ``videos`` videos in one line."""
    reasons = f": {'; '.join(found.reasons)}" if found.reasons else ""
    part = f" (known for {found.videos} of {videos} videos, since it was resumed)" if found.videos < videos else ""
    return f"{found.verdict}{reasons}{part}"
