"""The raw result of one video as a run records it, made from the scheduler's result in one place.

Whatever is reported of a run, its totals of time and frames included, is a sum or a percentile over these rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...runtime.scheduler.results import ClipResult, Step

TIMES = (
    "latency_ms",
    "decode_ms",
    "preprocess_ms",
    "wait_ms",
    "backbone_ms",
    "head_ms",
    "scheduling_ms",
    "elapsed_ms",
)


@dataclass(frozen=True)
class VideoRow:
    """Result of one video; what belongs to a prediction is None where the video failed.

    Times of a batch are divided evenly among the videos in it, so that every column of times adds up to the run's.

    Attributes:
        video: its key in the data set.
        label: positions of its classes; None where the label file does not know it.
        prediction: position of the most probable class, and its ``probability``.
        exit_step: 1-based step at which it ended, after ``frames_used`` frames; of a cascade, the place of the last
            frame count tried, after the frames of all of them.
        frames_read: frames that were requested; more than were used if some were read ahead and not needed.
        frames_decoded: pictures that a decoder worked on to give them.
        frames_replaced: unreadable frames that were substituted according to the data set's rule.
        scores: what the exit policy compared, step by step: the confidence of step 1, then gate values.
        gmacs: cost of all parts that ran for it, in 1e9 multiply-accumulates.
        gmacs_wasted: its share of rows that were computed although their video had ended.
        latency_ms: from its start (when it is given a slot) to its result, decoding included.
        decode_ms, preprocess_ms: reading its frames, on whatever thread.
        wait_ms: the engine waiting for pixels.
        backbone_ms, head_ms: the engine at work; the head is accumulator, gates and classifiers.
        scheduling_ms: everything else between two ticks.
        elapsed_ms: wall-clock time since the result before it.
        error: why there is no prediction.
        probabilities: float32 ``[classes]``, the softmax, for metrics that need all of it.
        steps: result of every step; kept only for a run that records a trace.
    """

    video: str
    label: tuple[int, ...] | None
    prediction: int | None = None
    probability: float | None = None
    exit_step: int | None = None
    frames_used: int | None = None
    frames_read: int = 0
    frames_decoded: int = 0
    frames_replaced: int = 0
    scores: tuple[float, ...] | None = None
    gmacs: float | None = None
    gmacs_wasted: float = 0.0
    latency_ms: float | None = None
    decode_ms: float = 0.0
    preprocess_ms: float = 0.0
    wait_ms: float = 0.0
    backbone_ms: float = 0.0
    head_ms: float = 0.0
    scheduling_ms: float = 0.0
    elapsed_ms: float = 0.0
    error: str | None = None
    probabilities: NDArray[np.float32] | None = None
    steps: tuple[Step, ...] = ()

    @classmethod
    def from_result(cls, video: str, classes: Sequence[int] | None, result: ClipResult, *, traced: bool) -> VideoRow:
        """Return the row of a clip's result.

        Args:
            video: key of the video in the data set.
            classes: positions of its classes; None where the label file does not know it.
            result: what the scheduler returned for it.
            traced: keep the result of every step, for a trace.
        """
        row = cls._without_prediction(video, None if classes is None else tuple(classes), result)
        found = result.prediction
        if found is None:
            return row
        return replace(
            row,
            prediction=found.label,
            probability=float(found.probabilities[found.label]),
            exit_step=found.exit_step,
            frames_used=found.frames_used,
            scores=result.scores,
            gmacs=found.macs / 1e9,
            latency_ms=1e3 * result.cost.latency_s,
            probabilities=found.probabilities,
            steps=result.steps if traced else (),
        )

    @classmethod
    def _without_prediction(cls, video: str, classes: tuple[int, ...] | None, result: ClipResult) -> VideoRow:
        """Return what a row says whether or not there is a prediction."""
        cost = result.cost
        return cls(
            video=video,
            label=classes,
            frames_read=cost.read.frames_read,
            frames_decoded=cost.read.frames_decoded,
            frames_replaced=cost.read.frames_replaced,
            gmacs_wasted=cost.macs_wasted / 1e9,
            decode_ms=1e3 * cost.read.decode_s,
            preprocess_ms=1e3 * cost.read.preprocess_s,
            wait_ms=1e3 * cost.wait_s,
            backbone_ms=1e3 * cost.backbone_s,
            head_ms=1e3 * cost.head_s,
            scheduling_ms=1e3 * cost.scheduling_s,
            elapsed_ms=1e3 * cost.elapsed_s,
            error=None if result.error is None else str(result.error),
        )
