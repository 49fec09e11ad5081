"""Interleaved measurement: each repetition runs every contender once, so machine noise affects all of them alike.

Ratios are computed within a repetition, and their median is reported. Absolute milliseconds are for orientation and not
comparable between runs.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

from vbench.runtime.scheduler.results import ClipResult

Contender = Callable[[], Sequence[ClipResult]]


@dataclass(frozen=True)
class Sample:
    """One pass over all clips: seconds, multiply-accumulates and frames."""

    wall_s: float
    engine_s: float
    scheduling_s: float
    decode_s: float
    preprocess_s: float
    wait_s: float
    macs: float
    used: int
    read: int
    decoded: int


def sample(contender: Contender) -> Sample:
    begin = perf_counter()
    results = contender()
    wall_s = perf_counter() - begin
    costs = [result.cost for result in results]
    return Sample(
        wall_s,
        engine_s=sum(cost.backbone_s + cost.head_s for cost in costs),
        scheduling_s=sum(cost.scheduling_s for cost in costs),
        decode_s=sum(cost.read.decode_s for cost in costs),
        preprocess_s=sum(cost.read.preprocess_s for cost in costs),
        wait_s=sum(cost.wait_s for cost in costs),
        macs=sum(cost.macs for cost in costs),
        used=sum(result.prediction.frames_used for result in results if result.prediction),
        read=sum(cost.read.frames_read for cost in costs),
        decoded=sum(cost.read.frames_decoded for cost in costs),
    )


def interleave(contenders: Mapping[str, Contender], repetitions: int) -> dict[str, list[Sample]]:
    """Run every contender once as a warm-up, then all of them in turn, ``repetitions`` times."""
    samples: dict[str, list[Sample]] = {name: [] for name in contenders}
    for repetition in range(repetitions + 1):
        for name, contender in contenders.items():
            print(f"repetition {repetition} of {repetitions}: {name}", end="\x1b[K\r", file=sys.stderr)
            found = sample(contender)
            if repetition:
                samples[name].append(found)
    return samples


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Return median [min .. max]."""
    median, low, high = statistics.median(values), min(values), max(values)
    return f"{median:.{digits}f} [{low:.{digits}f} .. {high:.{digits}f}]"


def ratios(above: Sequence[Sample], below: Sequence[Sample]) -> list[float]:
    """Return the time of ``above`` divided by that of ``below``, per repetition."""
    return [one.wall_s / other.wall_s for one, other in zip(above, below)]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
