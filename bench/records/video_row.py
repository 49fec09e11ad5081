"""Result of one video as recorded by a run, built from the scheduler's result.

All reported totals and percentiles of a run are derived from these rows.
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
    """Result of one video; a failed video has None in its prediction fields.

    Batch times are divided evenly among the videos of the batch, so every time column adds up to the run's total.

    Attributes:
        video: its key in the data set.
        label: its class indices; None if the label file does not list it.
        prediction: index of the most probable class, with its ``probability``.
        exit_step: 1-based exit step, reached after ``frames_used`` frames; for a cascade, the index of the last frame
            count tried, and ``frames_used`` includes the frames of all counts tried.
        frames_read: frames requested; exceeds ``frames_used`` if frames were read ahead but not needed.
        frames_decoded: frames that the decoder decoded to deliver them.
        frames_replaced: unreadable frames that were substituted according to the data set's rule.
        scores: values compared by the exit policy, step by step: the confidence of step 1, then gate values.
        gmacs: cost of all parts that ran for it, in units of 1e9 multiply-accumulates.
        gmacs_wasted: its share of rows computed after their video had ended.
        latency_ms: from its start (assignment of a slot) to its result, including decoding.
        decode_ms, preprocess_ms: time to read its frames, on any thread.
        wait_ms: time that the engine waited for pixels.
        backbone_ms, head_ms: engine time; the head comprises accumulator, gates and classifiers.
        scheduling_ms: all other time between two ticks.
        elapsed_ms: wall-clock time since the previous result.
        error: reason for a missing prediction.
        probabilities: float32 ``[classes]``, for metrics that need all classes.
        steps: result of every step; kept only if the run records a trace.
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

    def without_arrays(self) -> VideoRow:
        """Return this row without probabilities and steps, which take most of the memory."""
        return self if self.probabilities is None and not self.steps else replace(self, probabilities=None, steps=())

    @classmethod
    def from_result(cls, video: str, classes: Sequence[int] | None, result: ClipResult, *, traced: bool) -> VideoRow:
        """Return the row for a clip's result.

        Args:
            video: key of the video in the data set.
            classes: its class indices; None if the label file does not list it.
            result: the scheduler's result.
            traced: keep the result of every step, for a trace.
        """
        row = cls._without_prediction(video, None if classes is None else tuple(classes), result)
        prediction = result.prediction
        if prediction is None:
            return row
        return replace(
            row,
            prediction=prediction.label,
            probability=float(prediction.probabilities[prediction.label]),
            exit_step=prediction.exit_step,
            frames_used=prediction.frames_used,
            scores=result.scores,
            gmacs=prediction.macs / 1e9,
            latency_ms=1e3 * result.cost.latency_s,
            probabilities=prediction.probabilities,
            steps=result.steps if traced else (),
        )

    @classmethod
    def _without_prediction(cls, video: str, classes: tuple[int, ...] | None, result: ClipResult) -> VideoRow:
        """Return the row without its prediction fields."""
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
