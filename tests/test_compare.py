"""Two runs are compared video by video: what differs, how sure that is, and what may fail for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest
import typer
from typer.testing import CliRunner, Result

from vbench.bench.compare import Comparison, Unanswered, compare
from vbench.bench.datasets import Metric
from vbench.bench.interval import Interval
from vbench.bench.limits import NAMES, check_limits, parse_limit
from vbench.bench.metrics import mean_average_precision
from vbench.bench.paired import (
    difference_interval,
    map_difference_interval,
    mcnemar_p,
    mean,
    percentile,
    rate,
    ratio_interval,
)
from vbench.bench.record import RunConfig, RunFolder, RunHeader
from vbench.bench.rows import Row
from vbench.bench.summary import summarise
from vbench.bench.verdict import Quantity, Verdict, verdict
from vbench.cli.compare import compare as compare_command
from vbench.errors import CheckError, RunError, UsageError
from vbench.runtime.options import LATENCY, THROUGHPUT

CLASSES = 8
CONFIG = RunConfig("bundles/tiny", "ort", "folder", None, threads=2)
MACHINE: dict[str, str | int] = {"processor": "Some CPU", "cores": 4, "system": "Linux", "python": "3.12"}
Rows = list[Row]


def make_run(
    path: Path, rows: Sequence[Row], metric: Metric = "top1", config: RunConfig = CONFIG, **header: Any
) -> Path:
    """A finished run of these rows, through the writers that every run goes through."""
    given = {
        "policy": {"kind": "frameexit", "first_threshold": 0.95, "gate_thresholds": [0.5]},
        "bundle": {"name": "tiny", "network": "frameexit", "sha256": "0"},
        "engine": {},
        "machine": MACHINE,
        "versions": {},
        "command": "vbench run",
        "left_out": (),
        **header,
    }
    folder = RunFolder.create(path, RunHeader(config=config, videos=len(rows), **given))
    for row in rows:
        folder.append(row)
    folder.finish([row.video for row in rows], lambda found: summarise(found, metric, CLASSES, 3, None))
    return path


def row(number: int, right: bool = True, latency_ms: float = 10.0, frames: int = 2) -> Row:
    """A video of class ``number % 8``; a wrong answer has its class in the last place."""
    label = number % CLASSES
    order = [label, *(other for other in range(CLASSES) if other != label)]
    order = order if right else [*order[1:], label]
    probabilities = np.zeros(CLASSES, np.float32)
    probabilities[order] = np.arange(CLASSES, 0, -1) / 36
    return Row(
        video=f"video{number:04}",
        label=(label,),
        prediction=order[0],
        probability=float(probabilities[order[0]]),
        exit_step=frames,
        frames_used=frames,
        frames_read=frames,
        frames_decoded=frames,
        scores=(0.5,) * frames,
        gmacs=0.25 * frames,
        latency_ms=latency_ms,
        elapsed_ms=latency_ms + 1,
        probabilities=probabilities,
    )


def failed(number: int) -> Row:
    return Row(video=f"video{number:04}", label=(number % CLASSES,), elapsed_ms=3.0, error="broken")


def noisy(videos: int, seed: int = 0, faster: float = 1.0, wrong: Callable[[int], bool] = lambda _: False) -> Rows:
    """Videos of very different latency, which differs by 1 % from seed to seed."""
    hard = np.random.default_rng(99).lognormal(3, 0.5, videos)
    jitter = np.random.default_rng(seed).normal(1, 0.01, videos)
    return [
        row(number, not wrong(number), float(time * faster))
        for number, time in zip(range(videos), hard * jitter, strict=True)
    ]


def compared(tmp_path: Path, before: Rows, after: Rows, metric: Metric = "top1") -> Comparison:
    return compare(make_run(tmp_path / "before", before, metric), make_run(tmp_path / "after", after, metric))


def quantities(found: Comparison) -> dict[str, Quantity]:
    return {quantity.name: quantity for quantity in found.quantities}


def verdicts(found: Comparison) -> dict[str, Verdict]:
    return {quantity.name: quantity.verdict for quantity in found.quantities}


# statistics


@pytest.mark.parametrize(
    ("only_before", "only_after", "p"),
    [(10, 2, 158 / 4096), (2, 10, 158 / 4096), (0, 0, 1.0), (1, 0, 1.0), (0, 5, 2 / 32), (0, 6, 2 / 64), (7, 7, 1.0)],
)
def test_mcnemar(only_before: int, only_after: int, p: float) -> None:
    assert mcnemar_p(only_before, only_after) == pytest.approx(p, rel=1e-12)


def test_mcnemar_of_large_counts() -> None:
    """As the normal approximation with continuity correction says: z = 1499 / 1000.75 has 0.13417."""
    assert mcnemar_p(500_000, 501_500) == pytest.approx(0.13417, abs=1e-4)
    assert 0 < mcnemar_p(100, 1000) < 1e-170
    assert mcnemar_p(0, 100_000) == 0


def test_the_interval_of_a_difference_holds_the_truth_in_95_of_100_samples() -> None:
    random = np.random.default_rng(5)
    held = paired = 0
    for _ in range(400):
        hard = random.normal(0, 10, 100)
        before, after = hard + random.exponential(1, 100), hard + random.exponential(1, 100) + 0.3
        low, high = difference_interval(before, after)
        held += low <= 0.3 <= high
        paired += high - low < 1
    assert 0.93 <= held / 400 <= 0.97
    assert paired == 400, "what is in both runs must cancel out: unpaired, it is 5.5 wide"


def test_the_interval_of_a_ratio_holds_the_truth_in_95_of_100_samples() -> None:
    random = np.random.default_rng(7)
    held = 0
    for _ in range(500):
        hard = random.lognormal(2, 0.3, 200)
        before, after = (hard * factor * random.lognormal(0, 0.05, 200) for factor in (1, 1.1))
        low, high = ratio_interval(before, after)
        held += low <= 1.1 <= high
    assert 0.93 <= held / 500 <= 0.97


def test_the_interval_of_a_ratio_is_of_its_statistic() -> None:
    before = np.concatenate([np.full(80, 10.0), np.full(20, 50.0)]) + np.linspace(0, 1, 100)
    after = np.where(before > 40, 2 * before, before)
    assert ratio_interval(before, after, percentile(50)) == (1, 1)
    assert ratio_interval(before, after, percentile(90)) == pytest.approx((2, 2))
    low, high = ratio_interval(before, after, mean)
    assert 1.3 < low < after.mean() / before.mean() < high < 1.8
    assert ratio_interval(before, after, rate) == pytest.approx((1 / high, 1 / low), rel=1e-3)


def test_intervals_are_repeatable_and_seeded() -> None:
    before, after = np.random.default_rng(0).random((2, 50))
    assert difference_interval(before, after) == difference_interval(before, after)
    assert difference_interval(before, after) != difference_interval(before, after, seed=1)
    with pytest.raises(ValueError, match="must be the same"):
        difference_interval(before, after[1:])


def test_intervals_of_more_values_than_one_chunk_holds() -> None:
    before = np.random.default_rng(0).random(30_000)
    low, high = difference_interval(before, before + np.random.default_rng(1).normal(0.1, 1, 30_000))
    assert high - low == pytest.approx(2 * 1.96 / 30_000**0.5, rel=0.15)


def test_map_intervals_are_of_resampled_videos() -> None:
    """Against the slow way: copy the drawn videos and evaluate them with the metric itself."""
    random = np.random.default_rng(3)
    labels = random.random((40, 6)) < 0.2
    labels[:, 4] = False
    before, after = np.round(random.random((2, 40, 6)), 1)  # rounded, so that there are ties
    drawing, differences = np.random.default_rng(11), []
    for _ in range(1000):
        drawn = np.sort(drawing.integers(0, 40, 40))
        one, other = (mean_average_precision(scores[drawn], labels[drawn]) for scores in (before, after))
        differences.append(other - one)
    wanted = np.nanpercentile(differences, (2.5, 97.5))
    assert map_difference_interval(before, after, labels, seed=11) == pytest.approx(tuple(wanted), abs=1e-12)
    assert map_difference_interval(before, before, labels) == (0, 0)


@pytest.mark.parametrize(
    ("low", "high", "more_is_better", "videos", "p", "wanted"),
    [
        (0, 0, True, 1, None, "SAME"),
        (-0.5, 0.5, True, 100, None, "SAME"),
        (0.1, 0.4, True, 100, None, "SAME"),
        (-0.51, 0.5, True, 100, None, "UNDECIDED"),
        (0.1, 0.6, True, 100, None, "BETTER"),
        (0.1, 0.6, False, 100, None, "WORSE"),
        (-0.6, -0.1, True, 100, None, "WORSE"),
        (-0.6, -0.1, False, 100, None, "BETTER"),
        (-0.6, 0, False, 100, None, "UNDECIDED"),
        (-9, -8, False, 5, None, "UNDECIDED"),
        (-9, -8, False, 6, None, "BETTER"),
        (-0.9, -0.1, True, 100, 0.0625, "UNDECIDED"),
        (-0.9, -0.1, True, 100, 0.04, "WORSE"),
    ],
)
def test_verdicts(low: float, high: float, more_is_better: bool, videos: int, p: float | None, wanted: Verdict) -> None:
    assert verdict(Interval(low, high), 0.5, more_is_better, videos, p) == wanted


# runs


def test_a_run_is_the_same_as_itself(tmp_path: Path) -> None:
    found = compared(tmp_path, noisy(700), noisy(700))
    assert verdicts(found) == dict.fromkeys([name for name in NAMES if name != "map"], "SAME")
    assert all(quantity.interval == (0, 0) and quantity.difference == 0 for quantity in found.quantities)
    assert found.absent == {"map": "folder is judged by top1"}
    assert (found.other_class, found.other_exit_step, found.set_ups) == (0, 0, ())
    assert (found.videos, found.unanswered) == (700, Unanswered(0, 0, 0))


def test_values_are_those_that_the_runs_report(tmp_path: Path) -> None:
    found = quantities(compared(tmp_path, noisy(700), noisy(700, 1, 0.9, lambda number: number % 4 == 0)))
    for side, folder in (("before", "before"), ("after", "after")):
        metrics = json.loads((tmp_path / folder / "run.json").read_text())["metrics"]
        values = {name: getattr(quantity, side) for name, quantity in found.items()}
        assert values["top1"] == pytest.approx(metrics["accuracy"])
        assert values["top5"] == pytest.approx(metrics["top5"])
        assert values["frames"] == metrics["mean_frames"]
        assert values["gmacs"] == pytest.approx(metrics["gmacs"])
        assert values["videos_per_s"] == pytest.approx(metrics["videos_per_s"])
        assert {name: values[name] for name in ("p50", "p90", "p99")} == pytest.approx(
            {name: metrics["latency_ms"][name] for name in ("p50", "p90", "p99")}
        )


def test_faster_but_less_accurate(tmp_path: Path) -> None:
    found = compared(tmp_path, noisy(200), noisy(200, 1, 0.8, lambda number: number % 10 == 0))
    assert verdicts(found) == {
        "top1": "WORSE",
        "top5": "WORSE",
        "frames": "SAME",
        "gmacs": "SAME",
        "mean": "BETTER",
        "p50": "BETTER",
        "p90": "BETTER",
        "videos_per_s": "BETTER",
    }
    assert found.absent["p99"] == "it takes 662 videos answered in both runs, there are 200"
    top1, times = quantities(found)["top1"], quantities(found)["mean"]
    assert (top1.before, top1.after, top1.difference) == (100, 90, -10)
    assert top1.interval.low < -10 < top1.interval.high < 0
    assert top1.discordant is not None
    assert (top1.discordant.only_before, top1.discordant.only_after) == (20, 0)
    assert top1.discordant.p == pytest.approx(2 / 2**20)
    assert found.other_class == 20
    assert times.difference == pytest.approx(-20, abs=0.5)
    assert times.interval.high - times.interval.low < 1, "paired: the spread of the videos is 50 %"


def test_slower_and_more_accurate_the_other_way_round(tmp_path: Path) -> None:
    found = verdicts(compared(tmp_path, noisy(200, 1, 0.8, lambda number: number % 10 == 0), noisy(200)))
    assert (found["top1"], found["top5"]) == ("BETTER", "BETTER")
    assert {found[name] for name in ("mean", "p50", "p90", "videos_per_s")} == {"WORSE"}


def test_too_few_videos_decide_nothing(tmp_path: Path) -> None:
    before = [row(number, number != 1, 10 + number % 3) for number in range(12)]
    after = [row(number, number > 2, 10 + number % 4, frames=2 + number % 2) for number in range(12)]
    found = compared(tmp_path, before, after)
    assert verdicts(found)["top1"] == verdicts(found)["p50"] == "UNDECIDED"
    assert verdicts(found)["frames"] == verdicts(found)["gmacs"] == "WORSE"
    assert found.other_exit_step == 6
    assert "p90" not in verdicts(found)


def test_a_video_without_an_answer_is_wrong_there_and_in_no_time(tmp_path: Path) -> None:
    before, after = noisy(20), noisy(20)
    after[3] = failed(3)
    before[5] = failed(5)
    before[7] = after[7] = failed(7)
    found = compared(tmp_path, before, after)
    assert found.unanswered == Unanswered(1, 1, 1)
    top1, top5 = (quantities(found)[name] for name in ("top1", "top5"))
    for accuracy in (top1, top5):
        assert (accuracy.videos, accuracy.before, accuracy.after) == (19, 100 * 18 / 19, 100 * 18 / 19)
        assert accuracy.discordant is not None
        assert (accuracy.discordant.only_before, accuracy.discordant.only_after) == (1, 1)
    assert {quantity.videos for name, quantity in quantities(found).items() if not name.startswith("top")} == {17}


def test_five_places_do_not_make_a_failed_video_right(tmp_path: Path) -> None:
    """Class 0 stands first where all scores are equal."""
    found = compared(tmp_path, noisy(9), [failed(0), *noisy(9)[1:]])
    assert quantities(found)["top5"].after == pytest.approx(100 * 8 / 9)


def test_nan_is_a_miss(tmp_path: Path) -> None:
    after = noisy(10)
    nan = np.full(CLASSES, np.nan, np.float32)
    after[0] = replace(after[0], prediction=0, probability=float("nan"), probabilities=nan)
    assert quantities(compared(tmp_path, noisy(10), after))["top1"].after == 90


def test_unlabelled_videos_are_in_no_accuracy(tmp_path: Path) -> None:
    rows = [replace(each, label=()) if number < 4 else each for number, each in enumerate(noisy(10))]
    found = quantities(compared(tmp_path, rows, rows))
    assert (found["top1"].videos, found["top5"].videos, found["mean"].videos) == (6, 6, 10)
    without = compared(tmp_path / "none", *2 * [[replace(each, label=()) for each in rows]])
    assert without.absent["top1"] == "no video that was answered has a label"
    assert "top1" not in verdicts(without)


def test_map(tmp_path: Path) -> None:
    found = compared(tmp_path, noisy(40), noisy(40, wrong=lambda number: number % 2 == 0), "map")
    assert set(verdicts(found)) & {"top1", "top5", "map"} == {"map"}
    quantity = quantities(found)["map"]
    metrics = json.loads((tmp_path / "after" / "run.json").read_text())["metrics"]
    assert (quantity.before, quantity.after) == pytest.approx((100, metrics["accuracy"]))
    assert (quantity.verdict, quantity.discordant) == ("WORSE", None)
    assert quantity.interval.low < quantity.difference < quantity.interval.high < 0
    assert found.absent["top1"] == "folder is judged by map"


def test_map_counts_a_failed_video_as_last_of_all(tmp_path: Path) -> None:
    rows = noisy(8, wrong=lambda number: number == 0)
    found = quantities(compared(tmp_path, rows, [failed(0), *rows[1:]], "map"))
    assert found["map"].videos == 8
    scores = np.array([row.probabilities for row in rows])
    scores[0] = -1
    assert found["map"].after == pytest.approx(100 * mean_average_precision(scores, np.eye(8)))


def test_without_probabilities_there_is_no_top5(tmp_path: Path) -> None:
    before, after = (make_run(tmp_path / name, noisy(10)) for name in ("before", "after"))
    (after / "probabilities.parquet").unlink()
    found = compare(before, after)
    assert found.absent["top5"] == "a run has no probabilities.parquet"
    assert verdicts(found)["top1"] == "SAME"


def test_the_order_of_the_videos_does_not_matter(tmp_path: Path) -> None:
    rows = noisy(30, wrong=lambda number: number % 3 == 0)
    assert set(verdicts(compared(tmp_path, rows, rows[::-1])).values()) == {"SAME"}


def test_other_set_ups_are_told(tmp_path: Path) -> None:
    before = make_run(tmp_path / "before", noisy(10))
    config = replace(CONFIG, threads=1, stream=THROUGHPUT, engine="openvino", precision="int8")
    after = make_run(tmp_path / "after", noisy(10), config=config, machine={**MACHINE, "cores": 8})
    assert compare(before, after).set_ups == (
        "cores 4 / 8",
        "threads 2 / 1",
        "schedule sequential / inflight",
        "slots 1 / 8",
    )
    assert LATENCY.prefetch == THROUGHPUT.prefetch


def test_times_of_zero_have_no_ratio(tmp_path: Path) -> None:
    rows = [replace(each, gmacs=0.0) for each in noisy(10)]
    assert compared(tmp_path, rows, rows).absent["gmacs"] == "gmacs is not above 0 for every video"


# runs that cannot be compared


def test_unfinished(tmp_path: Path) -> None:
    whole = make_run(tmp_path / "whole", noisy(3))
    content = json.loads((whole / "run.json").read_text())
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "run.json").write_text(json.dumps({**content, "complete": False, "metrics": None}))
    for runs in ((whole, tmp_path / "half"), (tmp_path / "half", whole)):
        with pytest.raises(RunError, match=r"half: the run did not finish; go on with it: vbench run --resume .*half$"):
            compare(*runs)
    with pytest.raises(RunError, match=r"none/run.json: not there"):
        compare(whole, tmp_path / "none")


def test_other_data_sets_and_metrics(tmp_path: Path) -> None:
    one = make_run(tmp_path / "one", noisy(3))
    other = make_run(tmp_path / "other", noisy(3), config=replace(CONFIG, dataset="minikinetics"))
    with pytest.raises(RunError, match=r"one has the data set folder, .*other has minikinetics;"):
        compare(one, other)
    with pytest.raises(RunError, match=r"one has the metric top1, .*judged has map;"):
        compare(one, make_run(tmp_path / "judged", noisy(3), "map"))


def test_other_videos_and_labels(tmp_path: Path) -> None:
    one = make_run(tmp_path / "one", noisy(6))
    with pytest.raises(RunError, match=r"^2 videos are only in .*one and 1 only in .*other;"):
        compare(one, make_run(tmp_path / "other", [*noisy(4), row(9)]))
    relabelled = [replace(each, label=(0,)) for each in noisy(6)]
    with pytest.raises(RunError, match=r"^5 videos have another label in .*relabelled than in .*one;"):
        compare(one, make_run(tmp_path / "relabelled", relabelled))


def test_runs_without_answers(tmp_path: Path) -> None:
    one = make_run(tmp_path / "one", noisy(2))
    with pytest.raises(RunError, match="none: not one of its 2 videos was answered;"):
        compare(one, make_run(tmp_path / "none", [failed(0), failed(1)]))
    with pytest.raises(RunError, match="empty: not one of its 0 videos was answered;"):
        compare(*2 * [make_run(tmp_path / "empty", [])])
    first, second = ([row(0), failed(1)], [failed(0), row(1)])
    with pytest.raises(RunError, match="have no video that both answered"):
        compare(make_run(tmp_path / "first", first), make_run(tmp_path / "second", second))


def test_damaged(tmp_path: Path) -> None:
    whole, bad = (make_run(tmp_path / name, noisy(3)) for name in ("whole", "bad"))
    polars.read_parquet(bad / "probabilities.parquet")[:2].write_parquet(bad / "probabilities.parquet")
    with pytest.raises(RunError, match=r"bad/probabilities.parquet: does not fit predictions.parquet"):
        compare(whole, bad)
    for content in (polars.DataFrame({"video": ["a"]}).write_parquet, lambda file: file.write_bytes(b"PAR1 rubbish")):
        content(bad / "predictions.parquet")
        with pytest.raises(RunError, match=r"bad/predictions.parquet: not readable as a table"):
            compare(whole, bad)
    (bad / "predictions.parquet").unlink()
    with pytest.raises(RunError, match=r"bad/predictions.parquet: not there"):
        compare(whole, bad)


@pytest.mark.parametrize("key", ["dataset", "metrics", "config", "bundle"])
def test_a_record_that_is_not_whole(tmp_path: Path, key: str) -> None:
    whole, bad = (make_run(tmp_path / name, noisy(3)) for name in ("whole", "bad"))
    content = json.loads((bad / "run.json").read_text())
    del content[key]
    (bad / "run.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=r"bad/run.json: not whole"):
        compare(whole, bad)


# limits


@pytest.fixture(scope="module")
def worse(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """2 points less of top-1 (5 of 250 videos), a latency of 11 instead of 10 ms, 3 frames instead of 2."""
    before = [row(number) for number in range(250)]
    after = [row(number, number % 50 != 0, 11.0, frames=3) for number in range(250)]
    return compared(tmp_path_factory.mktemp("runs"), before, after)


@pytest.mark.parametrize(
    ("limit", "fails"),
    [
        ("top1:-1.9", True),
        ("top1:-2", False),
        ("top1:-2.0", False),
        ("top1:-0", True),
        ("top1:+0", False),
        ("top5:-1.99", True),
        ("top5:-3", False),
        ("p50:+9.9%", True),
        ("p50:+10%", False),
        ("p50:+10.1%", False),
        ("p50:-5%", False),
        ("p50:+.9ms", True),
        ("p50:+1ms", False),
        ("p90:+0.999ms", True),
        ("mean:+1.5ms", False),
        ("mean:+5%", True),
        ("frames:+49%", True),
        ("frames:+50%", False),
        ("gmacs:+49%", True),
        ("gmacs:+51%", False),
        ("videos_per_s:-8%", True),
        ("videos_per_s:-9%", False),
        ("videos_per_s:+0%", False),
    ],
)
def test_limits(worse: Comparison, limit: str, fails: bool) -> None:
    (checked,) = check_limits([parse_limit(limit)], worse)
    assert checked.failed is fails


def test_the_limit_itself_is_allowed_whatever_the_last_bit_says(worse: Comparison) -> None:
    top1 = replace(worse.quantities[0], before=73.5, after=73.0, difference=100 * (0.73 - 0.735))
    assert top1.difference < -0.5
    (checked,) = check_limits([parse_limit("top1:-0.5")], replace(worse, quantities=(top1,)))
    assert not checked.failed


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("top2:-1", "there is no quantity 'top2'; choose one of top1, top5, map, frames, gmacs, mean, p50"),
        ("top1", "not NAME:LIMIT; such as top1:-0.5, p99:"),
        ("top1:-x", "not NAME:LIMIT"),
        ("top1:--1", "not NAME:LIMIT"),
        ("p50:+nan%", "not NAME:LIMIT"),
        ("top1:0.5", "the limit has no sign; - fails if it falls further"),
        ("top1:-0.5%", "top1 has no limit in '%'; write top1:-0.5$"),
        ("p50:+5", r"p50 has no limit in 'no unit'; write p50:\+5% or p50:\+5ms"),
        ("p50:+5s", "p50 has no limit in 's'"),
        ("frames:+1ms", r"frames has no limit in 'ms'; write frames:\+1%$"),
        ("p99:+5%", r"these runs have no p99, it takes 662 videos .* there are 250; they have top1, top5, frames"),
        ("map:-1", "these runs have no map, folder is judged by top1"),
    ],
)
def test_limits_that_make_no_sense(worse: Comparison, limit: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as ended:
        check_limits([parse_limit(limit)], worse)
    assert str(ended.value).startswith(f"--fail-if {limit}: ")
    assert "\n" not in str(ended.value)


# the command


def command(*args: str | Path) -> Result:
    app = typer.Typer()
    app.command()(compare_command)
    return CliRunner().invoke(app, list(map(str, args)))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("runs")
    before = [row(number) for number in range(100)]
    after = [row(number, number % 10 != 0, 11.0, frames=2 + (number < 7)) for number in range(100)]
    after[99] = failed(99)
    config = replace(CONFIG, precision="int8", threads=1)
    odd = {"name": "a|b`c`<i>", "network": "frameexit", "sha256": "0"}
    return make_run(folder / "main", before), make_run(folder / "my_branch", after, config=config, bundle=odd)


def test_text(runs: tuple[Path, Path]) -> None:
    said = command(*runs, "--fail-if", "p50:+1ms")
    assert (said.exit_code, said.stderr) == (0, "")
    lines = said.stdout.splitlines()
    assert lines[0] == f"before  {runs[0]}: tiny, ort fp32, frameexit first=0.95 gate=0.5"
    assert lines[3].split() == ["before", "after", "difference", "95", "%", "interval", "verdict"]
    assert lines[4].startswith("top-1         100.00 %   89.00 %  -11.00 points   -18.00 .. ")
    assert lines[4].endswith("WORSE")
    assert len({line.rindex("  ") for line in lines[4:12]}) == 1, "verdicts stand in a column"
    assert "100 videos of folder: 11 changed class, 8 changed exit step" in lines
    assert "top-1: 11 right only before, 0 right only after (McNemar p = 0.000977)" in lines
    assert "Times are of different set-ups (before / after): threads 2 / 1" in lines
    assert any(line.startswith("Without an answer: 0 videos only before, 1 only after;") for line in lines)
    assert lines[-1] == "ok: p50 rose by 1 ms, within p50:+1ms (the interval excludes zero)"


MARKDOWN = """\
- before: **main**, tiny, ort fp32, frameexit first=0.95 gate=0.5
- after: **my\\_branch**, a\\|b\\`c\\`&lt;i&gt;, ort int8, frameexit first=0.95 gate=0.5

|  | before | after | difference | 95 % interval | verdict |
| --- | ---: | ---: | ---: | ---: | --- |
| top-1 | 100.00 % | 89.00 % | -11.00 points | -18.00 .. -5.00 | WORSE |
| top-5 | 100.00 % | 89.00 % | -11.00 points | -18.00 .. -5.00 | WORSE |
"""


def test_markdown(runs: tuple[Path, Path]) -> None:
    said = command(*runs, "--markdown")
    assert (said.exit_code, said.stderr) == (0, "")
    assert said.stdout.startswith(MARKDOWN)
    table = [line for line in said.stdout.splitlines() if line.startswith("|")]
    assert table[4] == "| mean frames | 2.00 | 2.07 | +3.54 % | +1.52 .. +6.06 | WORSE |"
    assert [line.split(" | ")[0] for line in table[5:]] == [
        "| GMACs",
        "| latency mean",
        "| latency p50",
        "| latency p90",
        "| videos/s",
    ]
    assert {line.count(" | ") for line in table} == {5}
    assert "- top-1: 11 right only before, 0 right only after (McNemar p = 0.000977)" in said.stdout


def test_json(runs: tuple[Path, Path]) -> None:
    said = command(*runs, "--json", "--fail-if", "p90:+50%")
    found = json.loads(said.stdout)
    assert (said.exit_code, said.stderr, found["level"]) == (0, "", 0.95)
    assert (found["before"]["run"], found["after"]["precision"]) == (str(runs[0]), "int8")
    top1 = found["quantities"][0]
    assert (top1["name"], top1["difference"], top1["difference_unit"]) == ("top1", -11, "points")
    assert top1["interval"][0] < -11 < top1["interval"][1]
    assert top1["discordant"]["only_before"] == 11
    assert found["unanswered"] == {"only_before": 0, "only_after": 1, "both": 0}
    assert set(found["absent"]) == {"map", "p99"}
    (limit,) = found["limits"]
    assert (limit["limit"], limit["failed"], limit["interval_includes_zero"]) == ("p90:+50%", False, False)


@pytest.mark.parametrize("form", [(), ("--markdown",), ("--json",)])
def test_a_limit_that_fails_is_told_after_the_table(runs: tuple[Path, Path], form: tuple[str, ...]) -> None:
    limits = ("top1:-0.5", "p50:+20%", "p50:+0.5ms")
    said = command(*runs, *form, *(word for limit in limits for word in ("--fail-if", limit)))
    assert isinstance(said.exception, CheckError)
    assert said.exception.exit_code == 4
    assert said.exception.what == (
        "top1 fell by 11 points, more than top1:-0.5 (the interval excludes zero), "
        "p50 rose by 1 ms, more than p50:+0.5ms (the interval excludes zero)"
    )
    if form == ("--json",):
        assert [limit["failed"] for limit in json.loads(said.stdout)["limits"]] == [True, False, True]
    else:
        assert said.stdout.count("FAILED: ") == 2
        assert said.stdout.count("ok: ") == 1


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--json", "--markdown"), "--json and --markdown are two forms of the same; give one of them"),
        (("--fail-if", "p99:+5%"), "these runs have no p99"),
        (("--fail-if", "speed:+5%"), "there is no quantity 'speed'"),
    ],
)
def test_mistakes(runs: tuple[Path, Path], args: tuple[str, ...], words: str) -> None:
    said = command(*runs, *args)
    assert isinstance(said.exception, UsageError)
    assert words in str(said.exception)
    assert said.stdout == "", "nothing is printed before a mistake is told"
