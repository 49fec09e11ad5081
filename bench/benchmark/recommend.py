"""The best contenders of a benchmark, and a sentence that recommends them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .rows import Agreement, BenchRow

THROUGHPUT, LATENCY, ENERGY = "throughput", "latency", "energy"


def best_rows(rows: Sequence[BenchRow]) -> dict[str, BenchRow]:
    """Return the best valid row of each kind: most videos per second, lowest p50 with one slot, fewest joules.

    Baselines do not compete. UNSTABLE rows compete only if no row of a kind is VALID.
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
    """Return a sentence such as "for throughput: ort int8, inflight 8, 3.6x the original, changes 5 of 16 classes"."""
    kinds: dict[str, list[str]] = {}
    found = {kind: row for kind, row in best_rows(rows).items() if kind != ENERGY}
    for kind, row in found.items():
        kinds.setdefault(row.name, []).append(kind)
    if not found:
        return "nothing to recommend: no contender has a usable measurement"
    named = {row.name: row for row in found.values()}
    best = max((row.accuracy for row in rows if row.accuracy is not None), default=None)
    return "; ".join(f"for {' and '.join(kinds[name])}: {_text(row, best)}" for name, row in named.items())


def _text(row: BenchRow, best_accuracy: float | None) -> str:
    parts = [row.name]
    if row.speed_up_original is not None:
        parts.append(f"{row.speed_up_original.ratio:.1f}x the original")
    if row.accuracy is not None and best_accuracy is not None:
        parts.append(f"accuracy {row.accuracy:.2f} % (best: {best_accuracy:.2f} %)")
    if row.agreement is not None:
        parts.append(_changes(row.agreement))
    return ", ".join(parts) + ("" if row.verdict.name == "VALID" else f" ({row.verdict.name})")


def _changes(found: Agreement) -> str:
    counts = ((found.classes_changed, "classes"), (found.exit_steps_changed, "exit steps"))
    changed = [f"{count} of {found.videos} {what}" for count, what in counts if count]
    return f"changes {' and '.join(changed)}" if changed else "changes no answer"
