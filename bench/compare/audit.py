"""Audit an engine or a precision: run it and a reference over the same videos and report the differences."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...runtime.bundle.bundle import Bundle, open_bundle
from ...runtime.bundle.manifest import Manifest
from ...runtime.engines.base import EngineOptions
from ...runtime.policies.registry import policy_of
from ..records.answers import require_answers
from ..records.run_file import RUN_FILE, read_run
from ..records.run_folder import RunConfig
from ..run.run import Listener, Result, start_run
from ..run.variants import start_variants, variants_of
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
class AuditedPair:
    """The two runs of one variant of the network, and their differences.

    Attributes:
        variant: name of the variant, such as ``frames_08``; None if the policy requests a single run.
    """

    variant: str | None
    reference: AuditedRun
    candidate: AuditedRun
    agreement: Agreement

    @property
    def changed_percent(self) -> float:
        """Percentage of videos whose class or exit step changed."""
        return 100 * self.agreement.changed / max(self.agreement.videos, 1)


@dataclass(frozen=True)
class Audit:
    """The audited pairs: one, or one per variant, such as a frame count."""

    pairs: tuple[AuditedPair, ...]

    @property
    def changed_percent(self) -> float:
        """Percentage of videos whose class or exit step changed; with several variants, the largest percentage."""
        return max(pair.changed_percent for pair in self.pairs)

    @property
    def videos(self) -> int:
        """Number of videos compared, equal for all variants."""
        return self.pairs[0].agreement.videos

    @property
    def engine(self) -> str:
        """The audited engine."""
        return self.pairs[0].candidate.engine

    @property
    def precision(self) -> str:
        """The audited precision."""
        return self.pairs[0].candidate.precision


def audit(
    candidate: RunConfig,
    against: EngineOptions,
    out: Path,
    command: str,
    listener: Callable[[str], AbstractContextManager[Listener]],
) -> Audit:
    """Run ``candidate``, then the same configuration with the engine options ``against``; write both runs to ``out``.

    If the policy requests several runs, such as one per frame count, each of them is compared.

    Args:
        listener: takes the name of a run (``reference`` or ``candidate``, followed by the variant if there are several)
            and returns a context manager that yields the progress listener of that run.

    Raises:
        UsageError: both configurations are the same.
        CheckError: a run has no videos with a prediction.
        VbenchError: a run fails; see ``start_run``.
    """
    bundle = open_bundle(Path(candidate.bundle))
    reference = replace(candidate, engine=against)
    if reference == candidate:
        raise UsageError(
            f"the reference and the candidate both use {against.engine} {against.precision}",
            "choose another --engine, --precision, --device or --against",
        )
    references = _runs("reference", reference, bundle, out, command, listener)
    candidates = _runs("candidate", candidate, bundle, out, command, listener)
    return Audit(
        tuple(
            AuditedPair(variant, _side(run), _side(candidates[variant]), agreement(run, candidates[variant]))
            for variant, run in references.items()
        )
    )


def _runs(
    side: str,
    config: RunConfig,
    bundle: Bundle[Manifest],
    out: Path,
    command: str,
    listener: Callable[[str], AbstractContextManager[Listener]],
) -> dict[str | None, Path]:
    """Run one side of the audit, and return its run folders by variant."""
    variants = variants_of(config, bundle)
    if variants:
        named = [variant.name for variant in variants]
        results = start_variants(config, variants, out / side, command, lambda name: listener(f"{side} {name}"), bundle)
        found = dict[str | None, Result](zip(named, results))
    else:
        with listener(side) as listen:
            found = {None: start_run(config, out / side, command, listen, bundle)}
    for result in found.values():
        require_answers(result.path, result.metrics)
    return {name: result.path for name, result in found.items()}


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
