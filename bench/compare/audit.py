"""What another engine or precision changes: run both over the same videos and say what came out differently."""

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
from ..records.run_file import RUN_FILE, read_run
from ..records.run_folder import RunConfig
from ..run.run import Listener, start_run
from .agreement import Agreement, Distribution, agreement, margins

_METRICS = ("accuracy", "gmacs", "mean_frames", "videos_per_s", "errors")


@dataclass(frozen=True)
class AuditedRun:
    """One of the two runs: what ran, where, its metrics (see ``summarize``), and how near decisions were to turning."""

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
    """Reference and candidate, and how they differ."""

    reference: AuditedRun
    candidate: AuditedRun
    agreement: Agreement

    @property
    def changed_percent(self) -> float:
        """Share of videos whose class or exit step changed."""
        return 100 * self.agreement.changed / max(self.agreement.videos, 1)


def audit(
    candidate: RunConfig,
    against: EngineOptions,
    out: Path,
    command: str,
    listener: Callable[[str], AbstractContextManager[Listener]],
) -> Audit:
    """Run ``candidate``, and the same on the engine that ``against`` names, into two runs in the folder ``out``.

    Args:
        listener: gives the listener of a run from its name (``reference`` or ``candidate``), for as long as it runs.

    Raises:
        UsageError: both are the same, or the network has no early exits.
        VbenchError: a run cannot be made, see ``start_run``.
    """
    bundle = open_bundle(Path(candidate.bundle))
    if not family_of(bundle.manifest).cumulative:
        raise UsageError(f"{candidate.bundle}: an audit is of early exits", "compare runs at each frame count instead")
    reference = replace(candidate, engine=against)
    if reference == candidate:
        raise UsageError(
            f"{against.engine} {against.precision} against itself shows nothing",
            "choose another --engine, --precision, --device or --against",
        )
    runs = []
    for name, config in (("reference", reference), ("candidate", candidate)):
        with listener(name) as listen:
            runs.append(start_run(config, out / name, command, listen, bundle).path)
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
