"""Targets, first thresholds, betas, and batches of a fit."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from vbench.fit.batches import ShardBatches
from vbench.fit.labels import beta_name, default_betas, exit_labels, first_threshold


def test_the_allowed_loss_grows_with_the_step_and_equality_exits() -> None:
    losses = np.array([[0.25, 0.25 * np.exp(0.5), 0.25 * np.exp(1), 1]], np.float32)
    losses[0, 1] *= np.float32(1.001)
    losses[0, 2] *= np.float32(0.999)
    assert exit_labels(losses, 0.25).tolist() == [[True, False, True, True]]


def test_a_larger_beta_keeps_all_exits() -> None:
    losses = np.random.default_rng(0).exponential(size=(200, 10)).astype(np.float32)
    found = [exit_labels(losses, beta) for beta in (1e-3, 1e-2, 0.1, 1)]
    for fewer, more in pairwise(found):
        assert not (fewer & ~more).any()
        assert more.sum() > fewer.sum()


def test_a_nan_loss_is_an_error() -> None:
    with pytest.raises(ValueError, match="NaN"):
        exit_labels(np.array([[np.nan, 1]], np.float32), 1)


@pytest.mark.parametrize(
    ("exits", "threshold"),
    [
        ([1, 1, 0, 0], 0.7),  # exactly those above
        ([1, 0, 1, 1], 0.4),  # the long prefix agrees more often
        ([1, 0, 1, 0], 0.8),  # of equally good prefixes the shortest
        ([0, 0, 0, 1], 0.95),  # none agrees: the default
    ],
)
def test_the_first_threshold_agrees_best(exits: list[int], threshold: float) -> None:
    confidences = np.array([0.9, 0.8, 0.7, 0.5], np.float32)
    found = first_threshold(confidences, np.array(exits, np.bool_), 0.95)
    assert found == pytest.approx(threshold if threshold != 0.4 else 0.5, abs=1e-6)
    assert ((confidences > found).sum(), found < 0.95) == {0.7: (2, 1), 0.4: (4, 1), 0.8: (1, 1), 0.95: (0, 0)}[
        threshold
    ]


def test_the_first_threshold_is_at_most_the_default_and_separates_no_equal_confidences() -> None:
    confidences = np.array([1, 1, 1, 0.99], np.float32)
    assert first_threshold(confidences, np.array([1, 1, 1, 0], np.bool_), 0.95) == 0.95
    assert first_threshold(confidences, np.array([1, 0, 0, 0], np.bool_), 0.95) == 0.95


def test_default_betas_are_quantiles_of_the_beta_each_exit_requires() -> None:
    growth = np.exp(np.arange(10) / 2)
    losses = (np.linspace(0, 1, 1001)[:, None] * growth).astype(np.float32)
    assert default_betas(losses) == (0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95)
    assert default_betas(losses, 2) == (0.25, 0.75)
    assert default_betas(np.zeros_like(losses)) == ()


def test_beta_names() -> None:
    assert [beta_name(beta) for beta in (1e-3, 5.7e-7, 0.1, 1.0, 12)] == [
        *("beta_1e-03", "beta_5.7e-07", "beta_1e-01", "beta_1e+00", "beta_1.2e+01")
    ]


def test_an_epoch_covers_each_chosen_video_once_in_another_order() -> None:
    lengths, states = [50] * 9 + [13], [np.full((50, 2, 1), shard, np.float16) for shard in range(10)]
    chosen = np.ones(463, np.bool_)
    chosen[::7] = False
    batches = ShardBatches(lambda shard: states[shard][: lengths[shard]], lengths, chosen)
    rng = np.random.default_rng(0)
    first, second = (np.concatenate([places for places, _ in batches.shuffled(32, rng)]) for _ in range(2))
    dropped = batches.videos % 32 if batches.videos % 32 < 16 else 0
    for places in (first, second):
        assert len(set(places)) == len(places) == batches.videos - dropped
        assert chosen[places].all()
    assert first.tolist() != second.tolist()
    for places, found in batches.shuffled(32, rng):
        assert (found[:, 0, 0] == np.minimum(places // 50, 9)).all()
    assert len(list(batches.shuffled(32, rng))) == batches.batches(32)
