"""The mean average precision of tags: the goldens of HVU, its protocols, and its standard error."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.shared import ANNOTATIONS, needs_shared, shared
from vbench.bench.datasets.hvu import read_list, read_tags
from vbench.bench.records.stored_scores import ScoreFile, StoredScores
from vbench.bench.stats.accuracy import mean_average_precision
from vbench.bench.stats.tag_precision import (
    PROTOCOLS,
    ArrayScores,
    TagLabels,
    TagProtocol,
    average_precision,
    tag_difference_interval,
    tag_influences,
    tag_interval,
    tag_map,
    tag_precisions,
    tag_summary,
)

SMALL = json.loads((Path(__file__).parents[2] / "golden" / "hvu" / "small.json").read_text())
CATEGORIES = ("a", "a", "b", "b", "b", "c")


def random_tags(videos: int = 40, seed: int = 1) -> tuple[np.ndarray, TagLabels]:
    """Scores with many ties, and labels of about a third of the classes."""
    rng = np.random.default_rng(seed)
    positive = rng.random((videos, len(CATEGORIES))) < 0.3
    scores = (np.round(rng.random(positive.shape) * 8) / 8).astype(np.float32)
    return scores, TagLabels([np.flatnonzero(row).tolist() for row in positive], CATEGORIES)


def weighted_map(scores: np.ndarray, labels: TagLabels, weights: np.ndarray, protocol: TagProtocol) -> float:
    """The mean average precision in which each video counts ``weights`` times, by its definition."""
    found: dict[str, list[float]] = {}
    for number, category in enumerate(CATEGORIES):
        rows = np.arange(len(scores)) if protocol != "labeled" else labels.labeled[category]
        positive = np.isin(rows, labels.positives[number])
        score, weight = scores[rows, number], weights[rows]
        total = 0.0
        for place in np.flatnonzero(positive):
            above = score >= score[place]
            total += weight[place] * (weight * positive)[above].sum() / weight[above].sum()
        found.setdefault(category, []).append(total / (weight * positive).sum())
    if protocol == "flat":
        return float(np.mean([each for values in found.values() for each in values]))
    return float(np.mean([np.mean(values) for values in found.values()]))


@pytest.mark.parametrize("case", SMALL, ids=[case["name"] for case in SMALL])
def test_small_goldens(case: dict[str, object]) -> None:
    found = average_precision(np.array(case["scores"], np.float64), np.flatnonzero(case["labels"]))
    if case["ap"] is None:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(case["ap"], abs=1e-12)


@needs_shared
@pytest.mark.parametrize(("case", "levels"), [("plain", None), ("ties16", 16)])
def test_goldens_of_the_real_lists(case: str, levels: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shared() / "reference" / "hvu"
    if not folder.is_dir():
        pytest.skip(f"no goldens in {folder}")
    monkeypatch.syspath_prepend(str(folder))
    make_scores = __import__("make_scores")
    tags, categories = read_tags(ANNOTATIONS / "hvu" / "HVU_Tags_Categories_V1.0.csv")
    rows, _ = read_list(ANNOTATIONS / "hvu" / "HVU_Val_V1.0_excerpt.csv")
    place = {tag: number for number, tag in enumerate(tags)}
    labels = TagLabels([[place[name] for name in row.names] for row in rows.values()], categories)
    positive = np.zeros((len(rows), len(tags)), np.int64)
    for target, label in zip(positive, labels.labels):
        target[list(label or ())] = 1
    scores = ArrayScores(make_scores.scores(0, [key[:-4] for key in rows], positive, levels))
    golden = json.loads((folder / "golden.json").read_text())["cases"][case]
    arrays = np.load(folder / "golden.npz")
    found = tag_summary(scores, labels)
    assert found["flat"] / 100 == pytest.approx(golden["flat_mean"], abs=1e-12)
    assert found["category"] / 100 == pytest.approx(golden["category_mean_all_videos"], abs=1e-12)
    assert found["labeled"] / 100 == pytest.approx(golden["category_mean_labelled_videos"], abs=1e-12)
    assert found["labeled_videos"] == golden["labelled_videos"]
    assert found["classes_with_positives"] == golden["classes_with_positives"]
    for mine, theirs in (
        ("categories", "per_category_all_videos"),
        ("labeled_categories", "per_category_labelled_videos"),
    ):
        assert {name: value / 100 for name, value in found[mine].items()} == pytest.approx(golden[theirs], abs=1e-12)
    for labeled, name in ((False, f"ap_{case}"), (True, f"ap_labelled_{case}")):
        np.testing.assert_allclose(tag_precisions(scores, labels, labeled=labeled), arrays[name], rtol=0, atol=1e-12)
    order = sorted(range(len(tags)), key=lambda number: (categories[number], tags[number]))
    np.testing.assert_array_equal(order, arrays["permutation_sorted_to_file"])
    sys.modules.pop("make_scores", None)


def test_without_ties_it_is_the_flat_mean_of_the_original() -> None:
    _, labels = random_tags()
    scores = np.random.default_rng(2).random((40, 6)).astype(np.float32)
    positive = np.zeros(scores.shape, np.bool_)
    for row, label in zip(positive, labels.labels):
        row[list(label or ())] = True
    assert tag_map(ArrayScores(scores), labels) == pytest.approx(mean_average_precision(scores, positive), abs=1e-12)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_protocols_and_influences_follow_their_definition(protocol: TagProtocol) -> None:
    scores, labels = random_tags()
    ones = np.ones(len(scores))
    value = weighted_map(scores, labels, ones, protocol)
    assert tag_map(ArrayScores(scores), labels, protocol) == pytest.approx(value, abs=1e-12)
    found = tag_influences(ArrayScores(scores), labels, protocol)
    for video in range(len(scores)):
        more = ones + 1e-6 * (np.arange(len(scores)) == video)
        expected = (weighted_map(scores, labels, more, protocol) - value) / 1e-6
        assert found[video] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_scores_in_a_file_give_the_same_result_in_any_order(
    protocol: TagProtocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores, labels = random_tags()
    file = ScoreFile(scores.shape[1])
    file.append(scores[::-1][:7])
    file.append(scores[::-1][7:])
    stored = StoredScores(file, np.arange(len(scores))[::-1])
    expected = tag_map(ArrayScores(scores), labels, protocol)
    monkeypatch.setattr("vbench.bench.stats.tag_precision._BLOCK", 2 * len(scores))
    assert tag_map(stored, labels, protocol) == expected
    chosen = np.array([5, 3, 11])
    np.testing.assert_array_equal(stored.select(chosen).columns(1, 3), scores[chosen, 1:3])


def test_intervals_cover_the_expected_value() -> None:
    def sample(seed: int) -> tuple[ArrayScores, TagLabels]:
        rng = np.random.default_rng(seed)
        positive = rng.random((200, 6)) < 0.15
        scores = rng.normal(size=positive.shape) + 1.5 * positive
        labels = [np.flatnonzero(row).tolist() for row in positive]
        return ArrayScores(scores.astype(np.float32)), TagLabels(labels, CATEGORIES)

    expected = np.mean([tag_map(*sample(1000 + seed)) for seed in range(150)])
    found = [tag_interval(*sample(seed)) for seed in range(150)]
    assert 0.88 <= np.mean([low <= expected <= high for low, high in found]) <= 0.99


def test_an_unchanged_run_has_no_difference() -> None:
    scores, labels = random_tags()
    assert tag_difference_interval(ArrayScores(scores), ArrayScores(scores), labels) == (0, 0)


def test_without_any_positive_there_is_no_value() -> None:
    labels = TagLabels([(), None], CATEGORIES)
    scores = ArrayScores(np.zeros((2, 6), np.float32))
    assert np.isnan(tag_map(scores, labels))
    assert np.isnan(tag_interval(scores, labels)).all()
    assert tag_summary(scores, labels)["category"] is None


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_must_be_finite(value: float) -> None:
    scores, labels = random_tags()
    scores[3, 2] = value
    with pytest.raises(ValueError, match="not finite"):
        tag_map(ArrayScores(scores), labels)
