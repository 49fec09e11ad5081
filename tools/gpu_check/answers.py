"""What workers answer. Plain numbers and texts, as they travel as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ClipAnswers:
    """Class, exit step and logits of every clip, in order."""

    labels: tuple[int, ...]
    exit_steps: tuple[int, ...]
    logits: tuple[tuple[float, ...], ...]


def clip_answers(said: Mapping[str, Sequence[Any]]) -> ClipAnswers:
    """Return answers as they were before they travelled."""
    return ClipAnswers(**{name: tuple(values) for name, values in said.items()})


@dataclass(frozen=True)
class Pass:
    """One pass over many clips; ``gpu`` is its telemetry where there is any."""

    seconds: float
    videos: int
    macs: float
    engine_s: float
    scheduling_s: float
    gpu: dict[str, Any] | None


@dataclass(frozen=True)
class WorkerRequest:
    """What a worker is asked; fields that a kind of request has no use for stay as they are.

    Attributes:
        kind: ``answers``, ``latency`` or ``pass``.
        clips: ``float``, ``frames``, or those of a frame count (see ``kind_of``).
        schedule: ``all`` for all frames of every clip, in flight; ``speculative`` for in flight, each frame started
            before the gates have clip_answers about the one before it.
        slots: clips in a batch.
        videos: number of clips, which are taken from the start again where there are fewer.
        exit_step: at which every clip is made to end.
        frames: the frame count that a frame-flexible network runs at.
    """

    kind: str
    clips: str = "float"
    schedule: str = "sequential"
    slots: int = 1
    videos: int = 0
    exit_step: int = 0
    frames: int = 0
