"""What another engine or precision changes: run both over the same videos and say what came out differently."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import UsageError
from ...runtime.bundle.bundle import open_bundle
from ...runtime.bundle.manifest import FrameExitManifest
from ...runtime.policies.base import frameexit_policy
from ..records.run_folder import RunConfig, read_run
from ..run.run import Listener, start_run
from .agreement import Agreement, Distribution, agreement, margins

_METRICS = ("accuracy", "gmacs", "mean_frames", "videos_per_s", "errors")


class Reference(NamedTuple):
    """What a candidate is compared with: engine, precision, and where it runs (see ``EngineOptions``)."""

    engine: str
    precision: str = "fp32"
    device: str | None = None


@dataclass(frozen=True)
class Side:
    """One of the two runs: what ran, where, its metrics (see ``summarise``), and how near decisions were to turning."""

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

    reference: Side
    candidate: Side
    agreement: Agreement

    @property
    def changed_percent(self) -> float:
        """Share of videos whose class or exit step changed."""
        return 100 * self.agreement.changed / max(self.agreement.videos, 1)


def audit(
    candidate: RunConfig,
    against: Reference,
    out: Path,
    command: str,
    listener: Callable[[str], AbstractContextManager[Listener]],
) -> Audit:
    """Run ``candidate``, and the same as ``against`` has it, into two runs in the folder ``out``.

    Args:
        listener: gives the listener of a run from its name (``reference`` or ``candidate``), for as long as it runs.

    Raises:
        UsageError: both are the same.
        VbenchError: a run cannot be made, see ``start_run``.
    """
    if not isinstance(open_bundle(Path(candidate.bundle)).manifest, FrameExitManifest):
        raise UsageError(f"{candidate.bundle}: an audit is of early exits", "compare runs at each frame count instead")
    reference = replace(candidate, **against._asdict(), provider=RunConfig.provider, graphs=None)
    if reference == candidate:
        raise UsageError(
            f"{against.engine} {against.precision} against itself shows nothing",
            "choose another --engine, --precision, --device or --against",
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
        device=content["config"]["device"],
        metric=metrics["metric"],
        margins=margins(run, frameexit_policy(policy["first_threshold"], policy["gate_thresholds"])),
        **{name: metrics[name] for name in _METRICS},
    )
