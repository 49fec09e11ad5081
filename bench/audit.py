"""What another engine or precision changes: run both over the same videos and say what came out differently."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..runtime.bundle import open_bundle
from ..runtime.manifest import FrameExitManifest
from ..runtime.policy import frameexit_policy
from .agreement import Agreement, Distribution, agreement, margins
from .record import RunConfig, read_run
from .run import Listener, start_run

_METRICS = ("accuracy", "gmacs", "mean_frames", "videos_per_s", "errors")


@dataclass(frozen=True)
class Side:
    """One of the two runs: what ran, its metrics (see ``summarise``), and how near its decisions were to turning."""

    run: str
    engine: str
    precision: str
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

    reference: Side
    candidate: Side
    agreement: Agreement

    @property
    def changed_percent(self) -> float:
        """Share of videos whose class or exit step changed."""
        return 100 * self.agreement.changed / max(self.agreement.videos, 1)


def audit(
    candidate: RunConfig,
    against: tuple[str, str],
    out: Path,
    command: str,
    listener: Callable[[str], AbstractContextManager[Listener]],
) -> Audit:
    """Run ``candidate``, and the same with engine and precision ``against``, into two runs in the folder ``out``.

    Args:
        listener: gives the listener of a run from its name (``reference`` or ``candidate``), for as long as it runs.

    Raises:
        UsageError: both are the same.
        VbenchError: a run cannot be made, see ``start_run``.
    """
    if not isinstance(open_bundle(Path(candidate.bundle)).manifest, FrameExitManifest):
        raise UsageError(f"{candidate.bundle}: an audit is of early exits", "compare runs at each frame count instead")
    engine, precision = against
    reference = replace(candidate, engine=engine, precision=precision)
    if reference == candidate:
        raise UsageError(
            f"{engine} {precision} against itself shows nothing", "choose another --engine, --precision or --against"
        )
    runs = []
    for name, config in (("reference", reference), ("candidate", candidate)):
        with listener(name) as listen:
            runs.append(start_run(config, out / name, command, listen).path)
    return Audit(_side(runs[0]), _side(runs[1]), agreement(*runs))


def _side(run: Path) -> Side:
    content = read_run(run)
    policy = content["policy"]
    metrics: dict[str, Any] = content["metrics"]
    return Side(
        run=str(run),
        engine=content["engine"],
        precision=content["config"]["precision"],
        metric=metrics["metric"],
        margins=margins(run, frameexit_policy(policy["first_threshold"], policy["gate_thresholds"])),
        **{name: metrics[name] for name in _METRICS},
    )
