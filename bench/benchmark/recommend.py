"""The best contenders of a benchmark, and a sentence that recommends them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .rows import BenchRow

THROUGHPUT, LATENCY, ENERGY = "throughput", "latency", "energy"


def best_rows(rows: Sequence[BenchRow]) -> dict[str, BenchRow]:
    """Return the best valid row of each kind: most videos per second, smallest p50 one at a time, fewest joules.

    Baselines do not compete. If no row of a kind is VALID, the UNSTABLE ones do.
    """
    candidates = [row for row in rows if row.procedure == "network" and not row.every_step and row.videos_per_s]
    measures: dict[str, Callable[[BenchRow], float | None]] = {
        THROUGHPUT: lambda row: None if row.videos_per_s is None else -row.videos_per_s[0],
        LATENCY: lambda row: None if row.slots > 1 or row.latency_ms is None else row.latency_ms["p50"],
        ENERGY: lambda row: row.joules,
    }
    found = {}
    for kind, measure in measures.items():
        ranked = [(row.verdict.rank, value, number) for number, row in enumerate(candidates)
                  if (value := measure(row)) is not None and row.verdict.rank < 2]  # fmt: skip
        if ranked:
            found[kind] = candidates[min(ranked)[2]]
    return found


def recommendation(rows: Sequence[BenchRow]) -> str:
    """Return a sentence such as "for throughput: openvino int8, inflight 8: 13.8x the reference; changes no class"."""
    found = best_rows(rows)
    if not found:
        return "nothing to recommend: no contender has a usable measurement"
    parts = [f"for {kind}: {_text(row)}" for kind, row in found.items() if kind != ENERGY]
    return "; ".join(parts)


def _text(row: BenchRow) -> str:
    speed = f", {row.speed_up_original.ratio:.1f}x the original" if row.speed_up_original else ""
    changes = ""
    if row.agreement is not None:
        one = row.agreement
        parts = [f"{count} of {one.videos} {what}" for count, what in
                 ((one.classes_changed, "classes"), (one.exit_steps_changed, "exit steps")) if count]  # fmt: skip
        changes = f", changes {' and '.join(parts) or 'no answer'}"
    unstable = "" if row.verdict.name == "VALID" else f" ({row.verdict.name})"
    return f"{row.name}{speed}{changes}{unstable}"
