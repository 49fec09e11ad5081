"""Messages between a benchmark and its workers: one line of JSON each way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...runtime.telemetry.gpu_record import GpuRecord
from ...runtime.telemetry.host_record import HostRecord
from ..records.video_row import VideoRow
from .clips import ClipSet
from .contender import Contender


@dataclass(frozen=True)
class WorkerTask:
    """The task that a worker is started with; see `Contender` and `ClipSet`."""

    bundle: str
    contender: Contender
    clips: ClipSet
    limit: int | None

    def record(self) -> dict[str, Any]:
        """Return the task as JSON; see `from_record`."""
        return {**asdict(self), "contender": self.contender.record(), "clips": self.clips.record()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> WorkerTask:
        """Return the task from its record."""
        contender, clips = Contender.from_record(record["contender"]), ClipSet.from_record(record["clips"])
        return cls(record["bundle"], contender, clips, record["limit"])


@dataclass(frozen=True)
class Started:
    """Reply to a task: the engine's description, and the seconds that loading and warming up took."""

    engine: dict[str, str]
    load_s: float
    warm_up_s: float


@dataclass(frozen=True)
class TurnRequest:
    """One turn: the clips to run, by index, in order.

    Attributes:
        probabilities: whether the rows have probabilities, for metrics that need all classes.
        schedule, slots: override the contender's, for the compliance checks.
    """

    clips: tuple[int, ...]
    probabilities: bool = False
    schedule: str | None = None
    slots: int | None = None


@dataclass(frozen=True)
class Turn:
    """One measured turn.

    Attributes:
        rows: one per clip, in order of completion; ``places`` are the indices of their clips in the request.
        seconds: wall-clock time of the turn.
        host, gpu: load on the machine and state of the GPU during the turn; None if unknown.
        peak_memory_bytes: largest resident memory of the worker so far.
    """

    rows: tuple[VideoRow, ...]
    places: tuple[int, ...]
    seconds: float
    host: HostRecord | None = None
    gpu: GpuRecord | None = None
    peak_memory_bytes: int = 0

    @property
    def answered(self) -> tuple[VideoRow, ...]:
        """The rows with a prediction."""
        return tuple(row for row in self.rows if row.error is None)

    def record(self) -> dict[str, Any]:
        """Return the turn as JSON; see `from_record`."""
        return {
            "rows": [_row_record(row) for row in self.rows],
            "places": self.places,
            "seconds": self.seconds,
            **self.conditions(),
            "peak_memory_bytes": self.peak_memory_bytes,
        }

    def conditions(self) -> dict[str, Any]:
        """Return the records of the machine and the GPU as JSON."""
        return {name: None if (found := getattr(self, name)) is None else found.as_dict() for name in ("host", "gpu")}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Turn:
        """Return the turn from its record."""
        return cls(
            tuple(map(_row, record["rows"])),
            tuple(record["places"]),
            record["seconds"],
            None if record["host"] is None else HostRecord.from_dict(record["host"]),
            None if record["gpu"] is None else GpuRecord.from_dict(record["gpu"]),
            record["peak_memory_bytes"],
        )


def in_clip_order(turn: Turn) -> list[VideoRow]:
    """Return the rows in the order of the request."""
    return [row for _, row in sorted(zip(turn.places, turn.rows), key=lambda pair: pair[0])]


def repeated(clips: Sequence[int], passes: int) -> tuple[int, ...]:
    """Return the clips of a turn with several passes."""
    return tuple(clips) * passes


def _row_record(row: VideoRow) -> dict[str, Any]:
    probabilities = None if row.probabilities is None else row.probabilities.tolist()
    return {**vars(row), "steps": (), "probabilities": probabilities}


def _row(record: Mapping[str, Any]) -> VideoRow:
    label, scores, found = record["label"], record["scores"], record["probabilities"]
    return VideoRow(
        **{
            **record,
            "label": None if label is None else tuple(label),
            "scores": None if scores is None else tuple(scores),
            "probabilities": None if found is None else np.array(found, np.float32),
            "steps": (),
        }
    )
