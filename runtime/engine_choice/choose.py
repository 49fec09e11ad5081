"""Choose the engine and precision for ``--engine auto`` and ``--precision auto``.

Candidates are measured once per machine, on the part that dominates the cost of the run, and the times are stored with
the bundle's measurements. Times measured on a busy machine are used, but measured again by the next run.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ...startup import phase
from ..bundle.bundle import Bundle
from ..bundle.manifest import Manifest
from ..engines.options import AUTO, EngineOptions
from ..families import family_of
from ..measurements.identity import cpu_identity
from ..measurements.store import MeasurementStore
from ..policies.choice import PolicyChoice
from ..policies.first_threshold import DatasetDefaults
from ..telemetry.cpus import usable_cpus
from ..telemetry.environment import versions
from ..telemetry.load import load_text
from .audits import MAX_FLIPS, objection
from .candidates import EXACT, Candidate, candidates, engine_versions
from .timing import measure

_FASTER = 0.95  # a candidate must take at most this share of the time of the one preferred so far
_CALL_MACS = 4e10  # slots are measured up to a call of this size; larger ones take long and change little


@dataclass(frozen=True)
class EngineChoice:
    """What was chosen, and why.

    Attributes:
        part: the part whose calls were timed; "" if there was only one candidate.
        rows: rows of each call.
        times_ms: median time of a call, by candidate such as ``ort fp32``.
        rejected: reason for each engine and precision that was not considered, or did not work.
        measured: when and under what load the times were measured.
        unsteady: why the times are doubtful; "" if they are not.
    """

    engine: str
    precision: str
    part: str = ""
    rows: int = 0
    times_ms: dict[str, float] = field(default_factory=dict)
    rejected: dict[str, str] = field(default_factory=dict)
    measured: str = ""
    unsteady: str = ""

    def record(self) -> dict[str, Any]:
        """Return the choice as JSON."""
        return asdict(self)

    def text(self) -> str:
        """Describe the choice in one line."""
        times = ", ".join(f"{name} {_digits(time_ms)} ms" for name, time_ms in self.times_ms.items())
        why = f"{self.part} of {self.rows} row{'s' * (self.rows > 1)}: {times}" if times else "no alternative"
        notes = (self.measured, self.unsteady and f"unsteady: {self.unsteady}")
        rejected = (f"not {name}: {reason}" for name, reason in self.rejected.items())
        return f"engine auto: {self.engine} {self.precision} ({'; '.join(filter(None, (why, *notes, *rejected)))})"


def _digits(time_ms: float) -> str:
    return f"{time_ms:.0f}" if time_ms >= 100 else f"{time_ms:.3g}"


def choose_engine(
    bundle: Bundle[Manifest],
    options: EngineOptions,
    choice: PolicyChoice,
    dataset: DatasetDefaults | None = None,
) -> tuple[EngineOptions, EngineChoice | None]:
    """Return options with a named engine and precision, and how they were chosen; None if they were named already.

    Raises:
        UsageError: an option applies to no candidate.
        MissingError: no engine is installed.
        VbenchError: none of the candidates works.
    """
    permitted = candidates(bundle.manifest, options) if AUTO in (options.engine, options.precision) else []
    if not permitted:
        return options, None
    limit = MAX_FLIPS if options.max_flips is None else options.max_flips
    policy = family_of(bundle.manifest).resolve(bundle.manifest, choice, dataset).policy
    audited = {each: objection(bundle, each, policy, limit) for each in permitted if _needs_audit(each, options)}
    rejected = {str(each): reason for each, reason in audited.items() if reason}
    remaining = [each for each in permitted if str(each) not in rejected]
    with phase("choice of engine", whole=True):
        found = EngineChoice(*remaining[0]) if len(remaining) == 1 else _fastest(bundle, options, choice, remaining)
    found = replace(found, rejected={**rejected, **found.rejected})
    return replace(options, engine=found.engine, precision=found.precision, max_flips=None), found


def _needs_audit(candidate: Candidate, options: EngineOptions) -> bool:
    return options.precision == AUTO and candidate.precision != EXACT


def _fastest(
    bundle: Bundle[Manifest], options: EngineOptions, choice: PolicyChoice, permitted: list[Candidate]
) -> EngineChoice:
    part, rows = dominant_call(bundle.manifest, options, choice)
    setup = {
        **measured_setup(bundle, options, {each.engine for each in permitted}, part, rows),
        "candidates": list(map(str, permitted)),
    }
    store = MeasurementStore(bundle)
    chosen = _chosen(store.get("engines", setup) or {}, permitted, part, rows)
    if chosen is None or chosen.unsteady:
        options.say(f"measuring {', '.join(map(str, permitted))} (once for this bundle and machine)")
        entry = measure(bundle, options, permitted, part, rows)
        store.put("engines", setup, entry)
        chosen = _chosen(entry, permitted, part, rows)
        assert chosen is not None
    return chosen


def dominant_call(manifest: Manifest, options: EngineOptions, choice: PolicyChoice) -> tuple[str, int]:
    """Return the part with the most MACs among those that the run needs, and the number of rows of its calls."""
    family = family_of(manifest)
    needed = family.parts_needed(manifest, choice, family.resolve(manifest, choice).policy)
    part = max(sorted(needed), key=lambda name: manifest.parts[name].macs)
    per_clip = family.rows_per_clip(manifest)
    most = int(_CALL_MACS // max(1, per_clip * manifest.parts[part].macs))
    return part, per_clip * max(1, min(options.slots or 1, most))


def measured_setup(
    bundle: Bundle[Manifest], options: EngineOptions, engines: set[str], part: str, rows: int
) -> dict[str, Any]:
    """Return the setup that the time of a call of ``part`` on ``engines`` depends on."""
    return {
        "bundle": bundle.digest,
        "part": part,
        "rows": rows,
        "packages": engine_versions(engines, versions()),
        "threads": options.threads or usable_cpus(),
        "cores": usable_cpus(),
        **cpu_identity(),
    }


def _chosen(entry: dict[str, Any], permitted: list[Candidate], part: str, rows: int) -> EngineChoice | None:
    """Return the choice that an entry of the store implies; None if there is no entry, or a damaged one."""
    with suppress(KeyError, TypeError, ValueError, AttributeError, OverflowError):
        times = {str(name): float(time_ms) for name, time_ms in entry["times_ms"].items()}
        failed = {str(name): str(reason) for name, reason in entry["failed"].items()}
        complete = times.keys() | failed.keys() == set(map(str, permitted))
        if complete and times and all(0 < time_ms < math.inf for time_ms in times.values()):
            best = _preferred([each for each in permitted if str(each) in times], times)
            return EngineChoice(*best, part, rows, times, failed, load_text(entry["load"]), str(entry["unsteady"]))
    return None


def _preferred(working: list[Candidate], times_ms: dict[str, float]) -> Candidate:
    """Return the fastest candidate; an earlier one unless a later one is clearly faster, so that noise has no say."""
    best = working[0]
    for each in working[1:]:
        if times_ms[str(each)] <= _FASTER * times_ms[str(best)]:
            best = each
    return best
