"""Throughput by schedule and slots, and the efficiency of early exit.

Efficiency is defined as on the CPU: the speed-up over reading all frames at the same batch size, divided by the ratio
of multiply-accumulates. Both passes run in the same process, adjacent within a repetition.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tools.bench.measure import spread
from vbench.runtime.scheduler.options import SPECULATIVE

from .answers import Pass, WorkerRequest
from .contenders import Contender
from .section import Section, Table
from .settings import Settings, WorkerConfig
from .turns import Turns

ALL = "all"  # all frames, in flight
_SCHEDULES = (ALL, "lockstep", "inflight", SPECULATIVE)
_HEAD = ("", "schedule", "videos/s", "speed-up over all frames", "GMACs ratio", "efficiency", "scheduling / engine",
         "SM clock MHz", "throttled by", "joules per video")  # fmt: skip
_NOTE = (
    "Clips are normalized pixels in host memory, with one frame of read-ahead; median [min .. max]. "
    "Contenders are interleaved within a repetition."
)


@dataclass(frozen=True)
class Measured:
    """Passes of a contender with one schedule and number of slots, and the paired passes over all frames."""

    contender: str
    slots: int
    schedule: str
    passes: tuple[Pass, ...]
    all_frames: tuple[Pass, ...]

    @property
    def videos_per_s(self) -> list[float]:
        """Videos per second of every pass."""
        return [one.videos / one.seconds for one in self.passes]

    @property
    def speed_ups(self) -> list[float]:
        """Speed-up over reading all frames, per repetition."""
        return [base.seconds / one.seconds for base, one in zip(self.all_frames, self.passes)]

    @property
    def promised(self) -> float:
        """Speed-up expected from the multiply-accumulates."""
        return self.all_frames[0].macs / self.passes[0].macs

    @property
    def efficiencies(self) -> list[float]:
        """Actual speed-up divided by the expected one."""
        return [speed_up / self.promised for speed_up in self.speed_ups]


def throughput(contenders: Sequence[Contender], config: WorkerConfig, settings: Settings) -> Section:
    """Measure every number of slots, in ascending order."""
    found: list[Measured] = []
    with Turns("throughput", contenders, config, settings.limits) as turns:
        for slots in sorted(settings.slots):
            found += _at(turns, slots, settings)
    tables = tuple(_table(slots, found) for slots in sorted(settings.slots) if any(o.slots == slots for o in found))
    return Section("throughput", tables, turns.end(), tuple(found), turns.descriptions)


def _at(turns: Turns, slots: int, settings: Settings) -> list[Measured]:
    videos, passes = {}, dict[tuple[str, str], list[Pass]]()
    for contender in [one for one in turns.alive if one.gpu or slots <= settings.cpu_slots]:
        videos[contender] = _videos(turns, contender, slots, settings)
    for _ in range(settings.repetitions):
        for contender in [one for one in videos if one in turns.alive]:
            _turn(turns, contender, slots, videos[contender], passes)
    names = [one.name for one in videos]
    return [one for name in names for one in _measured(name, slots, passes)]


def _videos(turns: Turns, contender: Contender, slots: int, settings: Settings) -> int:
    """Warm up every schedule and return the number of clips that makes the shortest pass long enough."""
    fewest = max(settings.crowd, 4 * slots)
    taken: dict[tuple[str, str], list[Pass]] = {}
    _turn(turns, contender, slots, fewest, taken)  # triggers one-time work: kernels and memory for this batch size
    _turn(turns, contender, slots, fewest, taken)
    shortest = min((found[-1].seconds for found in taken.values()), default=math.inf)
    return fewest * max(1, math.ceil(settings.pass_s / shortest))


def _turn(
    turns: Turns, contender: Contender, slots: int, videos: int, passes: dict[tuple[str, str], list[Pass]]
) -> None:
    """Run one pass with each schedule; discard all if one fails."""
    found: dict[str, Any] = {}
    for schedule in _SCHEDULES:
        request = WorkerRequest("pass", schedule=schedule, slots=slots, videos=videos)
        found[schedule] = turns.ask(contender, request, f"slots {slots}, {schedule}")
    if all(reply is not None for reply in found.values()):
        for schedule, reply in found.items():
            passes.setdefault((contender.name, schedule), []).append(Pass(**reply))


def _measured(name: str, slots: int, passes: Mapping[tuple[str, str], Sequence[Pass]]) -> list[Measured]:
    if (name, ALL) not in passes:
        return []
    base = tuple(passes[name, ALL])
    return [Measured(name, slots, schedule, tuple(passes[name, schedule]), base) for schedule in _SCHEDULES]


def _table(slots: int, found: Sequence[Measured]) -> Table:
    rows = tuple(_row(one) for one in found if one.slots == slots)
    return Table(f"throughput, slots {slots}", _NOTE, _HEAD, rows)


def _row(one: Measured) -> tuple[str, ...]:
    overhead = median(100 * found.scheduling_s / found.engine_s for found in one.passes)
    name, speed = one.contender, spread(one.videos_per_s, 2)
    if one.schedule == ALL:
        return name, "all frames", speed, "1", "1", "", f"{overhead:.2f} %", *_gpu_cells(one.passes)
    found = one.efficiencies
    efficiency = f"**{median(found):.3f}** [{min(found):.3f} .. {max(found):.3f}]"
    return (name, one.schedule, speed, spread(one.speed_ups, 2), f"{one.promised:.2f}", efficiency,
            f"{overhead:.2f} %", *_gpu_cells(one.passes))  # fmt: skip


def _gpu_cells(passes: Sequence[Pass]) -> tuple[str, str, str]:
    """Return clock, throttling reasons and energy; empty strings without NVML."""
    seen = [one.gpu for one in passes if one.gpu]
    clocks = [gpu["sm_clock_mhz"]["median"] for gpu in seen if gpu["sm_clock_mhz"]]
    joules = [gpu["joules_per_video"] for gpu in seen if gpu["joules_per_video"] is not None]
    reasons = dict.fromkeys(share["reason"] for gpu in seen for share in gpu["throttled"])
    return (
        f"{median(clocks):.0f}" if clocks else "",
        ", ".join(reasons) or ("nothing" if seen else ""),
        f"{median(joules):.3f}" if joules else "",
    )
