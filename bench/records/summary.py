"""Metrics of a run, derived from its rows: accuracy, cost, exit steps and timing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datasets import Metric
from ..stats.accuracy import hit_at_1, mean_average_precision
from .timing import frames as read_frames
from .timing import timing
from .video_row import VideoRow


def summarize(
    rows: Sequence[VideoRow], metric: Metric, classes: int, frames: int, paper_gmacs_per_frame: float | None
) -> dict[str, Any]:
    """Return the metrics of a run.

    ``accuracy`` is in percent over the videos with a prediction; None if no video counts. So is ``top5``; None for
    metrics other than top-1. ``frames`` is the number of steps. ``gflops_paper`` is the figure that FrameExit's authors
    report (mean frames times a constant, in giga multiply-accumulates; None for a backbone without a published
    constant). ``gmacs`` counts every part that ran for a video; ``gmacs_wasted`` counts rows that a schedule computed
    after their video had ended. See ``timing`` for the rest.
    """
    answered = [row for row in rows if row.error is None]
    steps = np.array([row.exit_step for row in answered], np.int64)
    mean_frames = float(np.mean([row.frames_used for row in answered])) if answered else None
    per_frame = paper_gmacs_per_frame
    return {
        "metric": metric,
        "accuracy": accuracy(answered, metric, classes),
        "top5": top5(answered, metric),
        "videos": len(rows),
        "errors": len(rows) - len(answered),
        "mean_frames": mean_frames,
        "gflops_paper": None if per_frame is None or mean_frames is None else per_frame * mean_frames,
        "gmacs": float(np.mean([row.gmacs for row in answered])) if answered else None,
        "exit_histogram": [int((steps == step).sum()) for step in range(1, frames + 1)],
        "gmacs_wasted": float(np.mean([row.gmacs_wasted for row in answered])) if answered else None,
        "frames": read_frames(rows),
        **timing(answered, rows),
    }


def accuracy(answered: Sequence[VideoRow], metric: Metric, classes: int) -> float | None:
    """Return top-1 (Hit@1) or mAP in percent, computed as in the original; None if no video counts."""
    if not answered:
        return None
    probabilities = np.array([row.probabilities for row in answered], np.float32)
    labels = np.stack([_multi_hot(row, classes) for row in answered])
    value = hit_at_1(probabilities, labels) if metric == "top1" else mean_average_precision(probabilities, labels)
    return None if np.isnan(value) else 100 * value


def top5(answered: Sequence[VideoRow], metric: Metric) -> float | None:
    """Return the percentage of labeled videos with one of their classes in the top five; None for mAP."""
    labeled = [row for row in answered if row.label]
    if not labeled or metric != "top1":
        return None
    probabilities = np.array([row.probabilities for row in labeled], np.float32)
    return 100 * float(np.mean(top5_hits(probabilities, [row.label or () for row in labeled])))


def top5_hits(probabilities: NDArray[np.float32], labels: Sequence[Collection[int]]) -> NDArray[np.bool_]:
    """Return, for every video, whether one of its labels is among the five most probable classes: [n] from [n, C]."""
    # Stable: ties go to the first class, as for top-1.
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :5]
    return np.array([not set(label).isdisjoint(found) for label, found in zip(labels, best.tolist())], np.bool_)


def _multi_hot(row: VideoRow, classes: int) -> NDArray[np.float32]:
    labels = np.zeros(classes, np.float32)
    labels[list(row.label or ())] = 1
    return labels
