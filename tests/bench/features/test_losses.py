"""Losses that gates are fitted to: hand-computed values, and extreme logits."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vbench.bench.features.losses import LOSSES, binary_cross_entropy

LOGITS = np.array([[0.0, 2.0, -1.0, 3.0], [1000.0, -1000.0, 0.5, -2.0]], np.float32)


def log1p_exp(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def test_tags_of_categories_without_a_tag_do_not_count() -> None:
    expected = [
        (log1p_exp(0) + log1p_exp(2) + log1p_exp(1)) / 3,  # tag 2 is positive, tag 3 alone in its category
        (1000 + 0 + log1p_exp(-0.5)) / 3,
    ]
    found = binary_cross_entropy(LOGITS, (2,), ("a", "a", "a", "b"))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    other = LOGITS.copy()
    other[:, 3] = 77
    np.testing.assert_array_equal(binary_cross_entropy(other, (2,), ("a", "a", "a", "b")), found)


def test_without_categories_all_tags_count() -> None:
    both = binary_cross_entropy(LOGITS, (1, 3))
    np.testing.assert_array_equal(both, binary_cross_entropy(LOGITS, (1, 3), ("a", "a", "b", "b")))
    assert both[0] == pytest.approx((log1p_exp(0) + log1p_exp(-2) + log1p_exp(-1) + log1p_exp(-3)) / 4)


def test_small_losses_keep_their_precision() -> None:
    found = binary_cross_entropy(np.array([[40.0, -40.0]], np.float32), (0,))
    assert found[0] == pytest.approx(math.exp(-40), rel=1e-6)


def test_wrong_answers_of_any_size_are_finite() -> None:
    largest = np.finfo(np.float32).max
    assert binary_cross_entropy(np.array([[-largest, 0.0]], np.float32), (0,))[0] == pytest.approx(largest / 2)


@pytest.mark.parametrize("name", LOSSES)
def test_a_video_without_a_class_has_no_loss(name: str) -> None:
    found = LOSSES[name](LOGITS, (), ("a", "a", "a", "b"))
    assert found.shape == (2,)
    assert np.isnan(found).all()
