"""Metrics of a run, derived from its rows: accuracy, cost, exit steps and timing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import RunError
from ..datasets import Metric
from ..stats.accuracy import hit_at_1, mean_average_precision
from ..stats.tag_precision import TagLabels, tag_summary
from .stored_scores import collect_scores
from .timing import frames as read_frames
from .timing import timing
from .video_row import VideoRow


def summarize(
    rows: Sequence[VideoRow],
    metric: Metric,
    classes: int,
    frames: int,
    paper_gmacs_per_frame: float | None,
    categories: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Return the metrics of a run.

    ``accuracy`` is in percent over the videos with a prediction, or None if no video counts; ``top5`` likewise, but it
    is also None for metrics other than top-1. ``frames`` is the number of steps. ``gflops_paper`` is the figure that
    FrameExit's authors report (mean frames times a constant, in giga multiply-accumulates; None for a backbone without
    a published constant). With ``categories``, one per class, ``tags`` has the mAP under every protocol and by category
    (see `tag_summary`), and ``accuracy`` is the flat mean. ``gmacs`` counts every part that ran for a video;
    ``gmacs_wasted`` counts rows that a schedule computed after their video had ended. See ``timing`` for the rest.
    """
    tags = {} if categories is None else {"tags": _tags(rows, categories)}
    scored, rows = rows, [row.without_arrays() for row in rows]
    answered = [row for row in rows if row.error is None]
    steps = np.array([row.exit_step for row in answered], np.int64)
    mean_frames = float(np.mean([row.frames_used for row in answered])) if answered else None
    per_frame = paper_gmacs_per_frame
    return {
        "metric": metric,
        "accuracy": tags["tags"]["flat"] if tags else accuracy(scored, metric, classes),
        "top5": top5(scored, metric),
        **tags,
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


def accuracy(rows: Sequence[VideoRow], metric: Metric, classes: int) -> float | None:
    """Return top-1 (Hit@1) or mAP in percent, computed as in the original; None if no video counts."""
    answered = [(row.probabilities, _multi_hot(row, classes)) for row in rows if row.error is None]
    if not answered:
        return None
    probabilities = np.array([found for found, _ in answered], np.float32)
    labels = np.stack([label for _, label in answered])
    value = hit_at_1(probabilities, labels) if metric == "top1" else mean_average_precision(probabilities, labels)
    return None if np.isnan(value) else 100 * value


def top5(rows: Sequence[VideoRow], metric: Metric) -> float | None:
    """Return the percentage of labeled videos with one of their classes in the top five; None for mAP."""
    if metric != "top1":
        return None
    labeled = [(row.probabilities, row.label) for row in rows if row.error is None and row.label]
    if not labeled:
        return None
    probabilities = np.array([found for found, _ in labeled], np.float32)
    return 100 * float(np.mean(top5_hits(probabilities, [label for _, label in labeled])))


def _tags(rows: Sequence[VideoRow], categories: Sequence[str]) -> dict[str, Any]:
    """Return the tag mAP under every protocol, over the videos that have a prediction; rows are read only once."""
    labels = [row.label for row in rows if row.error is None]
    found = (row.probabilities[None] for row in rows if row.error is None and row.probabilities is not None)
    scores = collect_scores(found, len(labels), len(categories))
    try:
        return tag_summary(scores, TagLabels(labels, categories))
    except ValueError as error:
        raise RunError(f"the mAP of the run is undefined: {error}", "check the probabilities of its videos") from None


def top5_hits(probabilities: NDArray[np.float32], labels: Sequence[Collection[int]]) -> NDArray[np.bool_]:
    """Return, for every video, whether one of its labels is among the five most probable classes: [n] from [n, C]."""
    # Stable: ties go to the first class, as for top-1.
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :5]
    return np.array([not set(label).isdisjoint(found) for label, found in zip(labels, best.tolist())], np.bool_)


def _multi_hot(row: VideoRow, classes: int) -> NDArray[np.float32]:
    labels = np.zeros(classes, np.float32)
    labels[list(row.label or ())] = 1
    return labels
