"""Latency of single clips by exit step, from pixels in host memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .answers import WorkerRequest
from .contenders import Contender
from .section import Section, Table
from .settings import Settings, WorkerConfig
from .turns import Turns

_FEWEST_FOR_P90 = 10
_NOTE = (
    "Milliseconds, p50 / p90, sequential; every clip is forced to exit at the step, with all gates running. "
    "Contenders are interleaved at every step."
)
Key = tuple[str, int]


@dataclass(frozen=True)
class StepLatency:
    """Latencies in milliseconds of single clips that exited at ``exit_step``."""

    contender: str
    exit_step: int
    samples_ms: tuple[float, ...]

    @property
    def p50_ms(self) -> float:
        """The median latency."""
        return float(np.percentile(self.samples_ms, 50))

    @property
    def p90_ms(self) -> float | None:
        """The 90th percentile; None if there are too few samples."""
        return float(np.percentile(self.samples_ms, 90)) if len(self.samples_ms) >= _FEWEST_FOR_P90 else None


def latency(contenders: Sequence[Contender], config: WorkerConfig, settings: Settings, steps: int) -> Section:
    """Measure every exit step; the first turn is a warm-up."""
    samples: dict[Key, list[float]] = {}
    with Turns("latency", contenders, config, settings.limits) as turns:
        for repetition in range(settings.repetitions + 1):
            for step in range(1, steps + 1):
                _turn(turns, step, settings.latency_clips, samples if repetition else {})
    found = tuple(StepLatency(name, step, tuple(taken)) for (name, step), taken in samples.items())
    return Section("latency", (_table(found, steps),), turns.end(), found, turns.descriptions)


def _turn(turns: Turns, step: int, videos: int, samples: dict[Key, list[float]]) -> None:
    for contender in turns.alive:
        taken = turns.ask(contender, WorkerRequest("latency", exit_step=step, videos=videos), f"exit step {step}")
        if taken is not None:
            samples.setdefault((contender.name, step), []).extend(taken)


def _table(found: Sequence[StepLatency], steps: int) -> Table:
    cells = {(one.contender, one.exit_step): one for one in found}
    names = tuple(dict.fromkeys(one.contender for one in found))
    head = ("exit step", *map(str, range(1, steps + 1)), "samples each")
    rows = [_row(name, [cells.get((name, step)) for step in range(1, steps + 1)]) for name in names]
    return Table("latency", _NOTE, head, tuple(rows))


def _row(name: str, found: Sequence[StepLatency | None]) -> tuple[str, ...]:
    samples = sorted({len(one.samples_ms) for one in found if one})
    return (name, *map(_cell, found), " to ".join(map(str, dict.fromkeys((samples[0], samples[-1])))))


def _cell(one: StepLatency | None) -> str:
    if one is None:
        return ""
    return f"{one.p50_ms:.2f} / {one.p90_ms:.2f}" if one.p90_ms is not None else f"{one.p50_ms:.2f} / -"
