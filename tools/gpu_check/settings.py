"""What is run, and for how long at most."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

SECTIONS = ("goldens", "audit", "latency", "counts", "throughput")  # what costs least comes first


@dataclass(frozen=True)
class Limits:
    """Seconds that starting an engine (TensorRT builds its plans then), one request and a section may take."""

    start_s: float = 1200.0
    question_s: float = 300.0
    section_s: float = 3600.0


@dataclass(frozen=True)
class Settings:
    """How much is measured.

    Attributes:
        clips: of the goldens, for the answers; there are forty.
        repetitions: turns of every contender, after one that is not measured.
        latency_clips: clips at each exit step in one turn.
        slots: clips in a batch.
        cpu_slots: the most for an engine on the CPU, where larger batches only take longer.
        crowd: the fewest clips of a pass; more slots than a quarter of it take four clips each.
        count_clips: different clips at each frame count of a frame-flexible network.
        count_slots: clips of it in a batch.
        pass_s: how long a pass lasts at least, so that clocks and energy can be read; more clips are run for it.
    """

    clips: int = 40
    repetitions: int = 5
    latency_clips: int = 16
    slots: tuple[int, ...] = (1, 8, 32, 128)
    cpu_slots: int = 8
    crowd: int = 24
    count_clips: int = 8
    count_slots: tuple[int, ...] = (1, 8, 32)
    pass_s: float = 2.0
    limits: Limits = field(default_factory=Limits)


QUICK = Settings(clips=6, repetitions=2, latency_clips=2, slots=(1, 8), crowd=6, count_clips=3,
                 count_slots=(1, 4), pass_s=0.0)  # fmt: skip


@dataclass(frozen=True)
class WorkerConfig:
    """What all contenders are given: the bundle, the folder of the drawn clips, and the most clips in a batch."""

    bundle: Path
    clips: Path
    slots: int
