from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from vbench.bench.stats.accuracy import average_precisions, hit_at_1, join, mean_average_precision

golden = np.load(Path(__file__).parents[2] / "golden" / "golden.npz")


@pytest.mark.parametrize("how", ["each", "mean", "max"])
def test_metrics_match_the_original(how: Literal["each", "mean", "max"]) -> None:
    scores, labels = golden["metric_probs"], golden["metric_labels"]
    if how != "each":
        _, scores, labels = join(golden["metric_ids"].tolist(), scores, labels, how)
    assert hit_at_1(scores, labels) == pytest.approx(float(golden[f"metric_hit1_{how}"]), abs=1e-7)
    np.testing.assert_allclose(average_precisions(scores, labels), golden[f"metric_ap_{how}"], atol=1e-7)
    assert mean_average_precision(scores, labels) == pytest.approx(float(golden[f"metric_map_{how}"]), abs=1e-7)


def test_classes_without_a_positive_are_nan() -> None:
    precisions = average_precisions(golden["metric_probs"], golden["metric_labels"])
    assert np.flatnonzero(np.isnan(precisions)).tolist() == [1, 5, 13]


def test_unlabeled_videos_count_in_map_only() -> None:
    scores = np.array([[0.9, 0.1], [0.6, 0.4]])
    labels = np.array([[0, 0], [1, 0]])
    assert hit_at_1(scores, labels) == 1.0
    assert mean_average_precision(scores, labels) == pytest.approx(0.5)


def test_no_labels_yield_nan() -> None:
    scores, labels = np.full((2, 3), 1 / 3), np.zeros((2, 3))
    assert math.isnan(hit_at_1(scores, labels))
    assert math.isnan(mean_average_precision(scores, labels))
    assert math.isnan(hit_at_1(scores[:0], labels[:0]))


def test_ties() -> None:
    scores = np.full((3, 2), 0.5)
    assert hit_at_1(scores, np.array([[1, 0], [0, 1], [1, 1]])) == pytest.approx(2 / 3)  # the first class counts
    assert average_precisions(scores, np.array([[1, 0], [0, 0], [0, 1]])) == pytest.approx([1.0, 1 / 3])


def test_nan_scores_are_misses() -> None:
    scores = np.array([[np.nan, 0.2], [0.8, 0.2]])
    labels = np.array([[1, 0], [1, 0]])
    assert hit_at_1(scores, labels) == 0.5
    assert average_precisions(scores, labels)[0] == pytest.approx(1.0)


def test_join_keeps_the_order_of_first_appearance() -> None:
    scores = np.array([[0.2, 0.8], [1.0, 0.0], [0.4, 0.6]])
    ids, joined, labels = join(["b", "a", "b"], scores, np.array([[1, 0], [0, 1], [0, 1]]), "mean")
    assert ids == ("b", "a")
    np.testing.assert_allclose(joined, [[0.3, 0.7], [1.0, 0.0]])
    np.testing.assert_array_equal(labels, [[True, True], [False, True]])
    assert join(["b", "a", "b"], scores, labels[[0, 1, 0]], "max")[1][0].tolist() == [0.4, 0.8]


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="same"):
        hit_at_1(np.zeros((2, 3)), np.zeros((3, 2)))
