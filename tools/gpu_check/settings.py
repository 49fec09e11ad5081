"""Workload sizes and time limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

SECTIONS = ("goldens", "audit", "latency", "counts", "throughput")  # cheapest first


@dataclass(frozen=True)
class Limits:
    """Time limits in seconds for starting an engine (including TensorRT plan builds), a request and a section."""

    start_s: float = 1200.0
    question_s: float = 300.0
    section_s: float = 3600.0


@dataclass(frozen=True)
class Settings:
    """Amount of work.

    Attributes:
        clips: number of golden clips to compare, at most 40.
        repetitions: measured turns of every contender, after one warm-up turn.
        latency_clips: clips at each exit step in one turn.
        slots: batch sizes.
        cpu_slots: largest batch size of CPU engines, for which larger batches only take longer.
        crowd: minimum number of clips in a pass; at least four per slot.
        count_clips: distinct clips at each frame count of a frame-flexible network.
        count_slots: batch sizes of a frame-flexible network.
        pass_s: minimum duration of a pass, so that clocks and energy can be sampled; reached by adding clips.
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
    """Configuration of all workers: bundle, folder of the drawn clips, and largest batch size."""

    bundle: Path
    clips: Path
    slots: int
