"""Requests to workers and their replies: plain numbers and strings, serialized as JSON."""

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


def parse_answers(reply: Mapping[str, Sequence[Any]]) -> ClipAnswers:
    """Return the answers decoded from a JSON reply."""
    return ClipAnswers(**{name: tuple(values) for name, values in reply.items()})


@dataclass(frozen=True)
class Pass:
    """One pass over many clips; ``gpu`` is its telemetry, if available."""

    seconds: float
    videos: int
    macs: float
    engine_s: float
    scheduling_s: float
    gpu: dict[str, Any] | None


@dataclass(frozen=True)
class WorkerRequest:
    """Request to a worker; fields unused by a kind of request keep their defaults.

    Attributes:
        kind: ``answers``, ``latency`` or ``pass``.
        clips: ``float``, ``frames``, or the clips of a frame count (see ``kind_of``).
        schedule: a schedule; ``all`` runs all frames of every clip in flight; ``speculative`` runs in flight and starts
            each frame before the gates have decided about the previous one.
        slots: clips per batch.
        videos: number of clips; the drawn clips repeat if there are fewer.
        exit_step: step at which every clip is forced to exit.
        frames: frame count of a frame-flexible network.
    """

    kind: str
    clips: str = "float"
    schedule: str = "sequential"
    slots: int = 1
    videos: int = 0
    exit_step: int = 0
    frames: int = 0
