"""The table of ``python -m tools.reading``."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from tools.reading.data import SOURCES
from vbench.bench.stats.ratios import ratio_interval
from vbench.runtime.telemetry.environment import machine

Turns = dict[tuple[str, str], list[dict[str, Any]]]  # by source and contender

_COLUMNS = ("source", "contender", "ms/video", "CPU ms/video", "x pixels", "x last contender", "answers", "memory, MB")


def report(turns: Turns, engine: str, precision: str, load: str) -> str:
    """Return the results as Markdown: medians, and ratios of throughput within repetitions, with 95 % intervals.

    ``x pixels`` is the throughput relative to the same contender's from pixels, ``x last contender`` relative to the
    last contender's from the same source. Answers (class and exit step) are compared with the last contender's.
    """
    names = list(dict.fromkeys(name for _, name in turns))
    here, repetitions = machine(), len(next(iter(turns.values())))
    lines = [
        f"{engine} {precision} on {here['processor']}, {here['cores']} cores; {load}; {repetitions} repetitions.",
        "",
        f"| {' | '.join(_COLUMNS)} |",
        f"|{' --- |' * len(_COLUMNS)}",
    ]
    for source in SOURCES:
        last = turns[source, names[-1]]
        for name in names:
            own = turns[source, name]
            cells = [
                *(source, name, f"{median(_values(own, 'ms')):.1f}", f"{median(_values(own, 'cpu_ms')):.1f}"),
                _ratio(turns[SOURCES[0], name], own) if source != SOURCES[0] else "",
                _ratio(last, own) if own is not last else "",
                _changes(last[0]["answers"], own[0]["answers"]) if own is not last else "",
                f"{max(_values(own, 'memory_mb')):.0f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _values(turns: Sequence[dict[str, Any]], key: str) -> list[float]:
    return [turn[key] for turn in turns]


def _ratio(above: Sequence[dict[str, Any]], below: Sequence[dict[str, Any]]) -> str:
    found = ratio_interval(_values(above, "ms"), _values(below, "ms"))
    return f"{found.ratio:.2f} ({found.low:.2f} to {found.high:.2f})"


def _changes(expected: Sequence[Any], actual: Sequence[Any]) -> str:
    changed = sum(one != other for one, other in zip(expected, actual, strict=True))
    return "same" if not changed else f"{changed} of {len(expected)} changed"
