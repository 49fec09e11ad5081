"""Choose the number of engine replicas for ``--replicas auto``, and share the threads among them.

For each number of replicas, that many engines call the part that dominates the cost, each on its own thread and with
its share of the threads. The calls per second are stored with the bundle's measurements.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any

from ...errors import UsageError
from ...startup import phase
from ..bundle.bundle import Bundle
from ..bundle.manifest import Manifest
from ..engines.base import Engine, EngineOptions, Handle, load_engine
from ..engines.device import requested_gpu
from ..engines.options import AUTO_REPLICAS, PLAN_ENGINES
from ..measurements.store import Entry, MeasurementStore
from ..policies.choice import PolicyChoice
from ..telemetry.load import LoadMonitor, load_text
from .choose import dominant_call, measured_setup
from .timing import part_inputs

_FASTER = 1.05  # more replicas must be at least this much faster than fewer: each needs the memory of an engine
_SPREAD = 1.2  # rounds that differ by more were disturbed
_MOST = 16
_WARM_UP_S, _TURN_S, _ROUNDS = 0.2, 0.4, 3


@dataclass(frozen=True)
class ReplicaChoice:
    """What was chosen, and why.

    Attributes:
        calls_per_s: calls per second of the ``part``, with ``rows`` rows each, by number of replicas.
        measured: when and under what load that was measured.
        unsteady: why the rates are doubtful; "" if they are not.
    """

    replicas: int
    part: str = ""
    rows: int = 0
    calls_per_s: dict[str, float] = field(default_factory=dict)
    measured: str = ""
    unsteady: str = ""

    def record(self) -> dict[str, Any]:
        """Return the choice as JSON."""
        return asdict(self)

    def text(self) -> str:
        """Describe the choice in one line."""
        rates = ", ".join(f"{count}: {rate:.3g}" for count, rate in self.calls_per_s.items())
        measured = f"calls of {self.part} per second: {rates}"
        notes = (measured, self.measured, self.unsteady and f"unsteady: {self.unsteady}")
        why = "; ".join(filter(None, notes)) if rates else "one thread"
        return f"replicas auto: {self.replicas} ({why})"


def check_replicas(options: EngineOptions, choice: PolicyChoice) -> None:
    """Raise UsageError if replicas are requested where they do not apply; note if they exceed the threads."""
    if options.replicas == 1:
        return
    if requested_gpu(options) is not None or options.engine in PLAN_ENGINES:
        raise UsageError("--replicas divides the CPU's threads, but this engine runs on a GPU", "omit --replicas")
    if choice.budget_ms is not None:
        raise UsageError(
            "--replicas run at the same time and slow one another down, so --budget-ms cannot be met",
            "omit one of them",
        )
    threads = options.thread_count()
    if options.replicas > threads:  # not an error: an interrupted run may be resumed with fewer CPUs
        options.say(f"--replicas {options.replicas}: there are only {threads} engine threads, so each replica has one")


def choose_replicas(
    bundle: Bundle[Manifest], options: EngineOptions, choice: PolicyChoice
) -> tuple[EngineOptions, ReplicaChoice | None]:
    """Return options with a number of replicas, and how it was chosen; None if it was given already.

    Raises:
        VbenchError: the engine cannot be loaded, or fails.
    """
    if options.replicas != AUTO_REPLICAS:
        return options, None
    threads = options.thread_count()
    with phase("choice of replicas", whole=True):
        found = _fastest(bundle, options, choice, _counts(threads))
    return replace(options, replicas=found.replicas), found


def load_replicas(bundle: Bundle[Manifest], options: EngineOptions) -> list[Engine]:
    """Load as many engines as ``options`` asks for, each with its share of the threads; see ``load_engine``."""
    if options.replicas == 1:
        return [load_engine(options.engine, bundle, options)]
    share = replace(options, threads=max(1, options.thread_count() // options.replicas))
    return [load_engine(options.engine, bundle, share) for _ in range(options.replicas)]


def _counts(threads: int) -> list[int]:
    """Return the numbers of replicas to measure: powers of two, with at least one thread each."""
    return [1 << power for power in range(min(threads, _MOST).bit_length())]


def _fastest(
    bundle: Bundle[Manifest], options: EngineOptions, choice: PolicyChoice, counts: Sequence[int]
) -> ReplicaChoice:
    if len(counts) == 1:
        return ReplicaChoice(1)
    part, rows = dominant_call(bundle.manifest, options, choice)
    store = MeasurementStore(bundle)
    setup = {
        **measured_setup(bundle, options, {options.engine}, part, rows),
        "engine": options.engine,
        "precision": options.precision,
        "replicas": list(counts),
    }
    chosen = _chosen(store.get("replicas", setup) or {}, counts, part, rows)
    if chosen is None or chosen.unsteady:
        options.say(f"measuring {', '.join(map(str, counts))} replicas (once for this bundle and machine)")
        entry = _measure(bundle, options, counts, part, rows)
        store.put("replicas", setup, entry)
        chosen = _chosen(entry, counts, part, rows)
        assert chosen is not None
    return chosen


def _chosen(entry: Entry, counts: Sequence[int], part: str, rows: int) -> ReplicaChoice | None:
    """Return the choice that an entry of the store implies; None if there is no entry, or a damaged one."""
    with suppress(KeyError, TypeError, ValueError, AttributeError, OverflowError):
        rates = {int(count): float(rate) for count, rate in entry["calls_per_s"].items()}
        if list(rates) == list(counts) and all(0 < rate < math.inf for rate in rates.values()):
            best = counts[0]
            for count in counts[1:]:
                if rates[count] >= _FASTER * rates[best]:
                    best = count
            named = {str(count): rate for count, rate in rates.items()}
            return ReplicaChoice(best, part, rows, named, load_text(entry["load"]), str(entry["unsteady"]))
    return None


def _measure(
    bundle: Bundle[Manifest], options: EngineOptions, counts: Sequence[int], part: str, rows: int
) -> dict[str, Any]:
    """Return the median calls per second for each number of replicas, and the load."""
    only = replace(options, parts=frozenset([part]), say=lambda _: None)
    inputs = part_inputs(bundle.manifest, part, rows)
    rates: dict[int, list[float]] = {}
    with LoadMonitor() as monitor:
        for count in counts:
            engines = load_replicas(bundle, replace(only, replicas=count))
            handles = [[engine.put(each) for each in inputs] for engine in engines]
            _calls_per_s(engines, part, handles, _WARM_UP_S)
            rates[count] = [_calls_per_s(engines, part, handles, _TURN_S) for _ in range(_ROUNDS)]
    return {
        "calls_per_s": {str(count): median(measured) for count, measured in rates.items()},
        "load": monitor.record(),
        "unsteady": _disturbance(rates),
    }


def _disturbance(rates: Mapping[int, Sequence[float]]) -> str:
    """Return why the rates are doubtful; "" if they are not."""
    for count, measured in rates.items():
        if max(measured) > _SPREAD * min(measured):
            return f"{count} replicas made {min(measured):.3g} to {max(measured):.3g} calls per second"
    return ""


def _calls_per_s(engines: Sequence[Engine], part: str, inputs: Sequence[Sequence[Handle]], seconds: float) -> float:
    """Return how many calls all engines make per second, each on its own thread and with its own inputs."""
    end = time.perf_counter() + seconds

    def calls(engine: Engine, given: Sequence[Handle]) -> int:
        made = 0
        while made == 0 or time.perf_counter() < end:
            engine.run(part, *given)
            made += 1
        return made

    start = time.perf_counter()
    with ThreadPoolExecutor(len(engines)) as pool:
        made = sum(pool.map(calls, engines, inputs))
    return made / (time.perf_counter() - start)
