"""Metric deltas between two runs: accuracy, compute and time over the same videos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..records.score_table import PROBABILITIES
from ..records.summary import top5_hits
from ..records.timing import ENOUGH
from ..stats.accuracy import mean_average_precision
from ..stats.intervals import Interval
from ..stats.mcnemar import mcnemar_p
from ..stats.paired_intervals import (
    Statistic,
    Values,
    difference_interval,
    map_difference_interval,
    mean,
    percentile,
    rate,
    ratio_interval,
)
from ..stats.tag_precision import TagLabels, tag_difference_interval, tag_map
from .run_pair import RunPair, RunPredictions
from .verdict import ACCURACY_MARGIN, COST_MARGIN, Discordant, MetricDelta, Verdict, verdict

Mask = NDArray[np.bool_]


class CostMetric(NamedTuple):
    """A time or compute metric: its column, its statistic, and whether a higher value is better."""

    column: str
    statistic: Statistic
    unit: str = ""
    more_is_better: bool = False
    enough: int = 1


COSTS = {
    "frames": CostMetric("frames_used", mean),
    "gmacs": CostMetric("gmacs", mean),
    "mean": CostMetric("latency_ms", mean, "ms"),
    **{f"p{percent}": CostMetric("latency_ms", percentile(percent), "ms", enough=n) for percent, n in ENOUGH.items()},
    "videos_per_s": CostMetric("elapsed_ms", rate, more_is_better=True),
}
ACCURACIES = ("top1", "top5", "map")


def accuracies(pair: RunPair, counted: Mask) -> dict[str, MetricDelta | str]:
    """Return every accuracy delta over the ``counted`` videos, or the reason why it is unavailable.

    As in the accuracy of a single run, unlabeled videos count only for mAP, as negatives of every class.
    """
    labeled = counted & np.array([bool(label) for label in pair.labels])
    if not labeled.any():
        return dict.fromkeys(ACCURACIES, "none of the videos with a prediction has a label")
    if pair.metric != "top1":
        absent = f"the metric of {pair.dataset} is {pair.metric}"
        return {
            **dict.fromkeys(("top1", "top5"), absent),
            "map": _map(pair, counted) if pair.categories is None else _tag_map(pair, counted, pair.categories),
        }
    right = [answers.right[labeled] for answers in pair.answers]
    return {
        "top1": _hits("top1", right[0], right[1]),
        "top5": _top5(pair, labeled),
        "map": f"the metric of {pair.dataset} is {pair.metric}",
    }


def costs(pair: RunPair, counted: Mask) -> dict[str, MetricDelta | str]:
    """Return every time and compute delta over the ``counted`` videos, or the reason why it is unavailable."""
    return {name: _cost(pair, name, counted) for name in COSTS}


def _hits(name: str, before: Mask, after: Mask) -> MetricDelta:
    discordant = int((before & ~after).sum()), int((after & ~before).sum())
    p = mcnemar_p(*discordant)
    one, other = (100 * mask.astype(np.float64) for mask in (before, after))
    interval = difference_interval(one, other)
    said = verdict(interval, ACCURACY_MARGIN, True, len(before), p)
    return _accuracy(name, one.mean(), other.mean(), interval, said, len(before), Discordant(*discordant, p))


def _top5(pair: RunPair, labeled: Mask) -> MetricDelta | str:
    labels = [label for label, known in zip(pair.labels, labeled) if known]
    hits = []
    for answers in pair.answers:
        if answers.probabilities is None:
            return _without_probabilities(answers)
        hits.append(top5_hits(answers.probabilities[labeled], labels) & answers.answered[labeled])
    return _hits("top5", hits[0], hits[1])


def _map(pair: RunPair, counted: Mask) -> MetricDelta | str:
    classes = 1 + max(max(label, default=0) for label in pair.labels)
    labels = np.zeros((len(pair.labels), classes), np.bool_)
    for video, label in enumerate(pair.labels):
        labels[video, list(label)] = True
    scores = []
    for answers in pair.answers:
        if answers.probabilities is None:
            return _without_probabilities(answers)
        # Classes without a positive do not contribute to mAP, so those beyond the last label are dropped.
        scores.append(answers.probabilities[counted, :classes])
    interval = Interval(*(100 * end for end in map_difference_interval(scores[0], scores[1], labels[counted])))
    said = verdict(interval, ACCURACY_MARGIN, True, int(counted.sum()))
    one, other = (100 * mean_average_precision(values, labels[counted]) for values in scores)
    return _accuracy("map", one, other, interval, said, int(counted.sum()), None)


def _tag_map(pair: RunPair, counted: Mask, categories: Sequence[str]) -> MetricDelta | str:
    missing = next((answers for answers in pair.answers if answers.scores is None), None)
    if missing is not None:
        return _without_probabilities(missing)
    videos = np.flatnonzero(counted)
    labels = TagLabels([pair.labels[video] for video in videos], categories)
    one, other = (answers.scores.select(videos) for answers in pair.answers if answers.scores is not None)
    before, after = (100 * tag_map(scores, labels) for scores in (one, other))
    interval = Interval(*(100 * end for end in tag_difference_interval(one, other, labels)))
    said = verdict(interval, ACCURACY_MARGIN, True, len(videos))
    return _accuracy("map", before, after, interval, said, len(videos), None)


def _without_probabilities(answers: RunPredictions) -> str:
    kept = answers.info.top_k
    return f"a run has no {PROBABILITIES}" if kept is None else f"a run keeps only the {kept} most probable classes"


def _accuracy(
    name: str,
    before: float,
    after: float,
    interval: Interval,
    said: Verdict,
    videos: int,
    discordant: Discordant | None,
) -> MetricDelta:
    return MetricDelta(
        name=name,
        unit="%",
        before=float(before),
        after=float(after),
        difference=float(after - before),
        difference_unit="points",
        interval=interval,
        margin=ACCURACY_MARGIN,
        verdict=said,
        videos=videos,
        discordant=discordant,
    )


def _cost(pair: RunPair, name: str, counted: Mask) -> MetricDelta | str:
    cost = COSTS[name]
    one, other = (answers.column(cost.column, counted) for answers in pair.answers)
    if len(one) < cost.enough:
        return f"it needs {cost.enough} videos with a prediction in both runs, but there are {len(one)}"
    if not all(np.isfinite(values).all() and (values > 0).all() for values in (one, other)):
        return f"{cost.column} is not positive for every video"
    before, after = (_of_all(cost.statistic, values) for values in (one, other))
    ratios = ratio_interval(one, other, cost.statistic)
    interval = Interval(*(100 * (end - 1) for end in ratios))
    return MetricDelta(
        name=name,
        unit=cost.unit,
        before=before,
        after=after,
        difference=100 * (after / before - 1),
        difference_unit="%",
        interval=interval,
        margin=COST_MARGIN,
        verdict=verdict(interval, COST_MARGIN, cost.more_is_better, len(one)),
        videos=len(one),
    )


def _of_all(statistic: Statistic, values: Values) -> float:
    return float(statistic(values[None])[0])
