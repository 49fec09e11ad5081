"""Choose the number of engine replicas for ``--replicas auto``, and share the threads among them.

For each number of replicas, that many engines call the part that dominates the cost, each on its own thread and with
its share of the threads. The calls per second are stored with the bundle's measurements.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ...errors import UsageError
from ...startup import phase
from ..bundle.bundle import Bundle
from ..bundle.manifest import Manifest
from ..engines.base import Engine, EngineOptions, load_engine
from ..engines.device import requested_gpu
from ..engines.options import AUTO_REPLICAS, PLAN_ENGINES
from ..measurements.store import Entry, MeasurementStore
from ..policies.choice import PolicyChoice
from ..telemetry.load import LoadMonitor, load_text
from .choose import dominant_call, measured_setup
from .timing import part_inputs

_FASTER = 1.05  # more replicas must be at least this much faster than fewer: each needs the memory of an engine
_MOST = 16
_WARM_UP_S, _TURN_S, _ROUNDS = 0.2, 0.4, 3


@dataclass(frozen=True)
class ReplicaChoice:
    """What was chosen, and why.

    Attributes:
        calls_per_s: calls per second of the ``part``, with ``rows`` rows each, by number of replicas.
        measured: when and under what load that was measured.
    """

    replicas: int
    part: str = ""
    rows: int = 0
    calls_per_s: dict[str, float] = field(default_factory=dict)
    measured: str = ""

    def record(self) -> dict[str, Any]:
        """Return the choice as JSON."""
        return asdict(self)

    def text(self) -> str:
        """Describe the choice in one line."""
        rates = ", ".join(f"{count}: {rate:.3g}" for count, rate in self.calls_per_s.items())
        why = f"calls of {self.part} per second: {rates}; {self.measured}" if rates else "one thread"
        return f"replicas auto: {self.replicas} ({why})"


def choose_replicas(
    bundle: Bundle[Manifest], options: EngineOptions, choice: PolicyChoice
) -> tuple[EngineOptions, ReplicaChoice | None]:
    """Return options with a number of replicas, and how it was chosen; None if it was given already.

    Raises:
        UsageError: the number is out of range, or the engine runs on a GPU.
        VbenchError: the engine cannot be loaded.
    """
    if options.replicas == 1:
        return options, None
    if requested_gpu(options) is not None or options.engine in PLAN_ENGINES:
        raise UsageError("--replicas divides the CPU's threads, but this engine runs on a GPU", "omit --replicas")
    threads = options.thread_count()
    if options.replicas != AUTO_REPLICAS:
        if options.replicas > threads:
            raise UsageError(
                f"--replicas {options.replicas} exceeds the number of engine threads, {threads}",
                f"choose at most {threads}, or raise --threads",
            )
        return options, None
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
    if chosen is None:
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
            return ReplicaChoice(best, part, rows, named, load_text(entry["load"]))
    return None


def _measure(
    bundle: Bundle[Manifest], options: EngineOptions, counts: Sequence[int], part: str, rows: int
) -> dict[str, Any]:
    """Return the median calls per second for each number of replicas, and the load."""
    only = replace(options, parts=frozenset([part]), say=lambda _: None)
    inputs = part_inputs(bundle.manifest, part, rows)
    rates: dict[str, float] = {}
    with LoadMonitor() as monitor:
        for count in counts:
            engines = load_replicas(bundle, replace(only, replicas=count))
            rates[str(count)] = _calls_per_s(engines, part, inputs)
    return {"calls_per_s": rates, "load": monitor.record()}


def _calls_per_s(engines: Sequence[Engine], part: str, inputs: Sequence[Any]) -> float:
    handles = [[engine.put(each) for each in inputs] for engine in engines]

    def calls(seconds: float) -> float:
        counted = [0] * len(engines)
        end = time.perf_counter() + seconds

        def work(number: int) -> None:
            while counted[number] == 0 or time.perf_counter() < end:
                engines[number].run(part, *handles[number])
                counted[number] += 1

        start = time.perf_counter()
        threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(len(engines))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counted) / (time.perf_counter() - start)

    calls(_WARM_UP_S)
    return sorted(calls(_TURN_S) for _ in range(_ROUNDS))[_ROUNDS // 2]
