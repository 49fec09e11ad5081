"""Operating point of fitted gates on the held-out videos."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bench.features.features_file import Features
from ..bench.records.stored_scores import collect_scores
from ..bench.stats.tag_precision import TagLabels, tag_map

GATE_THRESHOLD = 0.5


def operating_point(
    features: Features, chosen: NDArray[np.bool_], values: NDArray[np.float32], first: float
) -> dict[str, Any]:
    """Return mean frames, accuracy in percent and exits of videos under the authors' exit rule.

    The accuracy of a softmax is ``top1``, which counts any of several labels. That of a sigmoid is ``map``, the mean of
    the average precision over the tags with a positive, of which there are ``map_tags``.

    Args:
        chosen: mask over all videos.
        values: float32 ``[chosen videos, gates]``, high means exit.
        first: confidence above which step 1 exits.
    """
    places = np.flatnonzero(chosen)
    leaves = np.concatenate(
        [features.confidences[places, None] > first, values > GATE_THRESHOLD, np.ones((len(values), 1), np.bool_)],
        axis=1,
    )
    steps = leaves.argmax(axis=1)
    accuracy = _tag_accuracy if features.header.output == "sigmoid" else _accuracy
    return {
        "mean_frames": float(steps.mean() + 1),
        **accuracy(features, places, steps),
        "exits": np.bincount(steps, minlength=features.header.steps).tolist(),
    }


def _accuracy(features: Features, places: NDArray[np.int64], steps: NDArray[np.int64]) -> dict[str, Any]:
    right = features.right[places]
    return {
        "top1": 100 * float(right[np.arange(len(steps)), steps].mean()),
        "top1_all_frames": 100 * float(right[:, -1].mean()),
    }


def _tag_accuracy(features: Features, places: NDArray[np.int64], steps: NDArray[np.int64]) -> dict[str, Any]:
    header = features.header
    labels = TagLabels([features.labels[place] for place in places], header.categories or ("",) * header.classes)
    found = {
        name: 100 * tag_map(collect_scores(_logits(features, places, at), len(places), header.classes), labels)
        for name, at in (("map", steps), ("map_all_frames", np.full_like(steps, header.steps - 1)))
    }
    return {**found, "map_tags": sum(len(videos) > 0 for videos in labels.positives)}


def _logits(features: Features, places: NDArray[np.int64], steps: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
    """Yield the logits of videos in ascending order, each at its own step: float32 ``[k, classes]``, shard by shard."""
    start = 0
    for number, shard in enumerate(features.header.logits):
        inside = (places >= start) & (places < start + shard.videos)
        yield features.logits(number)[places[inside] - start, steps[inside]].astype(np.float32)
        start += shard.videos
