"""Audit an engine or a precision: run it and a reference over the same videos and report the differences."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...runtime.bundle.bundle import open_bundle
from ...runtime.engines.base import EngineOptions
from ...runtime.families import family_of
from ...runtime.policies.registry import policy_of
from ..records.answers import require_answers
from ..records.run_file import RUN_FILE, read_run
from ..records.run_folder import RunConfig
from ..run.run import Listener, start_run
from .agreement import Agreement, Distribution, agreement, margins

_METRICS = ("accuracy", "gmacs", "mean_frames", "videos_per_s", "errors")


@dataclass(frozen=True)
class AuditedRun:
    """One of the two runs: configuration, metrics (see ``summarize``) and decision margins."""

    run: str
    engine: str
    precision: str
    device: str | None
    metric: str
    accuracy: float | None
    gmacs: float | None
    mean_frames: float | None
    videos_per_s: float | None
    errors: int
    margins: Distribution


@dataclass(frozen=True)
class Audit:
    """The reference run, the candidate run, and their differences."""

    reference: AuditedRun
    candidate: AuditedRun
    agreement: Agreement

    @property
    def changed_percent(self) -> float:
        """Percentage of videos whose class or exit step changed."""
        return 100 * self.agreement.changed / max(self.agreement.videos, 1)


def audit(
    candidate: RunConfig,
    against: EngineOptions,
    out: Path,
    command: str,
    listener: Callable[[str], AbstractContextManager[Listener]],
) -> Audit:
    """Run ``candidate``, then the same configuration with the engine options ``against``; write both runs to ``out``.

    Args:
        listener: takes the name of a run (``reference`` or ``candidate``) and returns a context manager that yields
            the progress listener of that run.

    Raises:
        UsageError: both configurations are the same, or the network has no early exits.
        CheckError: a run has no videos with a prediction.
        VbenchError: a run fails; see ``start_run``.
    """
    bundle = open_bundle(Path(candidate.bundle))
    if not family_of(bundle.manifest).cumulative:
        raise UsageError(f"{candidate.bundle} has no early exits to audit", "compare runs at each frame count instead")
    reference = replace(candidate, engine=against)
    if reference == candidate:
        raise UsageError(
            f"the reference and the candidate both use {against.engine} {against.precision}",
            "choose another --engine, --precision, --device or --against",
        )
    runs = []
    for name, config in (("reference", reference), ("candidate", candidate)):
        with listener(name) as listen:
            result = start_run(config, out / name, command, listen, bundle)
        require_answers(result.path, result.metrics)
        runs.append(result.path)
    return Audit(_side(runs[0]), _side(runs[1]), agreement(*runs))


def _side(run: Path) -> AuditedRun:
    record = read_run(run)
    engine = EngineOptions.from_record(record.object("config").object("engine").content)
    metrics: dict[str, Any] = dict(record.object("metrics").content)
    return AuditedRun(
        run=str(run),
        engine=engine.engine,
        precision=engine.precision,
        device=engine.device,
        metric=metrics["metric"],
        margins=margins(run, policy_of(record.object("policy").content, f"{run / RUN_FILE}: policy")),
        **{name: metrics[name] for name in _METRICS},
    )
