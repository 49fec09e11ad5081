"""Machine, versions and settings of runs as named facts, and the differences between runs.

Times are comparable only within one set-up, so a reader must see at once what all runs share and what differs. The
differences are stated in words, because color is lost in print.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

_DEFAULT_THREADS = "all cores"


class RunFact(NamedTuple):
    """One property of a run, such as ``("cores", "8")``."""

    name: str
    value: str


RunFacts = tuple[RunFact, ...]


class SharedFact(NamedTuple):
    """One property of several runs: ``values`` lists each distinct value with the names of its runs."""

    name: str
    values: tuple[tuple[str, tuple[str, ...]], ...]


def run_facts(record: Mapping[str, object], conditions: str = "") -> RunFacts:
    """Return the facts in a run's record, plus its measurement conditions; missing ones are omitted."""
    facts = _facts(record, conditions)
    return tuple(RunFact(name, str(value)) for name, value in facts if value not in (None, ""))


def shared_facts(facts: Sequence[RunFacts], runs: Sequence[str]) -> list[SharedFact]:
    """Return every fact of any of the runs, in order of first appearance."""
    names = dict.fromkeys(fact.name for each in facts for fact in each)
    return [SharedFact(name, _values(name, facts, runs)) for name in names]


def _values(name: str, facts: Sequence[RunFacts], runs: Sequence[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found: dict[str, list[str]] = {}
    for each, run in zip(facts, runs):
        value = next((fact.value for fact in each if fact.name == name), "not recorded")
        found.setdefault(value, []).append(run)
    return tuple((value, tuple(names)) for value, names in found.items())


def _facts(record: Mapping[str, object], conditions: str) -> Iterator[tuple[str, object]]:
    bundle, machine, schedule = (_table(record, key) for key in ("bundle", "machine", "schedule"))
    engine = _table(_table(record, "config"), "engine")
    yield "data set", record.get("dataset")
    yield "videos", record.get("videos")
    yield "bundle", bundle.get("name")
    yield "network", bundle.get("network")
    yield "bundle's SHA-256", bundle.get("sha256")
    yield "started", record.get("created")
    yield from ((name, machine.get(name)) for name in ("processor", "cores", "system", "python"))
    yield "conditions of the times", conditions
    yield "engine", record.get("engine")
    yield "precision", engine.get("precision")
    yield "threads", engine.get("threads") or _DEFAULT_THREADS
    details = _table(record, "engine_details")
    yield from ((f"engine: {name}", value) for name, value in details.items() if name not in ("precision", "threads"))
    yield from ((_SCHEDULE.get(name, name), value) for name, value in schedule.items())
    yield from ((f"{name} from", source) for name, source in _table(record, "policy_sources").items())
    yield from _table(record, "versions").items()


_SCHEDULE = {
    "prefetch": "frames read ahead",
    "workers": "reader threads",
    "slots": "slots (concurrent videos)",
    "sync": "start of the next frame (step: after the gate's decision, speculative: before)",
}


def _table(record: Mapping[str, object], key: str) -> Mapping[str, object]:
    entry = record.get(key)
    return entry if isinstance(entry, Mapping) else {}
