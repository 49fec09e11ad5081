"""Comparison of two runs video by video: differences, their certainty, and incomparable runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars
import pytest

from tests.compared_runs import BUSY, CLASSES, CONFIG, IDLE, MACHINE, Rows, compared, failed, make_run, noisy, row
from vbench.bench.compare.compare import Comparison, Unanswered, compare
from vbench.bench.compare.fail_if import NAMES
from vbench.bench.compare.unstable import is_time
from vbench.bench.compare.verdict import MetricDelta, Verdict
from vbench.bench.datasets.options import DataOptions
from vbench.bench.records.tables import write_tables
from vbench.bench.stats.accuracy import mean_average_precision
from vbench.errors import RunError
from vbench.runtime.engines.options import EngineOptions
from vbench.runtime.scheduler.options import LATENCY, THROUGHPUT
from vbench.runtime.telemetry.host_record import HostRecord
from vbench.runtime.telemetry.stability import problems


def quantities(found: Comparison) -> dict[str, MetricDelta]:
    return {quantity.name: quantity for quantity in found.quantities}


def verdicts(found: Comparison) -> dict[str, Verdict]:
    return {quantity.name: quantity.verdict for quantity in found.quantities}


# runs


def test_a_run_is_the_same_as_itself(tmp_path: Path) -> None:
    found = compared(tmp_path, noisy(700), noisy(700))
    assert verdicts(found) == dict.fromkeys([name for name in NAMES if name != "map"], "SAME")
    assert all(quantity.interval == (0, 0) and quantity.difference == 0 for quantity in found.quantities)
    assert found.absent == {"map": "the metric of folder is top1"}
    assert (found.other_class, found.other_exit_step, found.set_ups) == (0, 0, ())
    assert (found.videos, found.unanswered) == (700, Unanswered(0, 0, 0))


def test_values_equal_those_reported_by_the_runs(tmp_path: Path) -> None:
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
    assert found.absent["p99"] == "it needs 662 videos with a prediction in both runs, but there are 200"
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


def test_a_failed_video_counts_as_wrong_and_is_excluded_from_time(tmp_path: Path) -> None:
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


def test_a_failed_video_is_a_top5_miss(tmp_path: Path) -> None:
    """Ties rank class 0 first."""
    found = compared(tmp_path, noisy(9), [failed(0), *noisy(9)[1:]])
    assert quantities(found)["top5"].after == pytest.approx(100 * 8 / 9)


def test_nan_in_the_tables_of_an_earlier_version_is_a_miss(tmp_path: Path) -> None:
    after = noisy(10)
    runs = make_run(tmp_path / "before", after), make_run(tmp_path / "after", after)
    nan = np.full(CLASSES, np.nan, np.float32)
    after[0] = replace(after[0], prediction=0, probability=float("nan"), probabilities=nan)
    write_tables(runs[1], after)
    assert quantities(compare(*runs))["top1"].after == 90


def test_unlabeled_videos_do_not_count_for_accuracy(tmp_path: Path) -> None:
    rows = [replace(each, label=()) if number < 4 else each for number, each in enumerate(noisy(10))]
    found = quantities(compared(tmp_path, rows, rows))
    assert (found["top1"].videos, found["top5"].videos, found["mean"].videos) == (6, 6, 10)
    without = compared(tmp_path / "none", *2 * [[replace(each, label=()) for each in rows]])
    assert without.absent["top1"] == "none of the videos with a prediction has a label"
    assert "top1" not in verdicts(without)


def test_map(tmp_path: Path) -> None:
    found = compared(tmp_path, noisy(40), noisy(40, wrong=lambda number: number % 2 == 0), "map")
    assert set(verdicts(found)) & {"top1", "top5", "map"} == {"map"}
    quantity = quantities(found)["map"]
    metrics = json.loads((tmp_path / "after" / "run.json").read_text())["metrics"]
    assert (quantity.before, quantity.after) == pytest.approx((100, metrics["accuracy"]))
    assert (quantity.verdict, quantity.discordant) == ("WORSE", None)
    assert quantity.interval.low < quantity.difference < quantity.interval.high < 0
    assert found.absent["top1"] == "the metric of folder is map"


def test_map_ranks_a_failed_video_last(tmp_path: Path) -> None:
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


def test_configuration_differences_are_listed(tmp_path: Path) -> None:
    before = make_run(tmp_path / "before", noisy(10))
    engine = EngineOptions(engine="openvino", precision="int8", threads=1)
    config = replace(CONFIG, engine=engine, stream=replace(THROUGHPUT, workers=CONFIG.stream.workers))
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
    assert compared(tmp_path, rows, rows).absent["gmacs"] == "gmacs is not positive for every video"


# runs that cannot be compared


def test_unfinished(tmp_path: Path) -> None:
    whole = make_run(tmp_path / "whole", noisy(3))
    content = json.loads((whole / "run.json").read_text())
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "run.json").write_text(json.dumps({**content, "complete": False, "metrics": None}))
    for runs in ((whole, tmp_path / "half"), (tmp_path / "half", whole)):
        with pytest.raises(RunError, match=r"half: the run did not finish; resume it: vbench run --resume .*half$"):
            compare(*runs)
    with pytest.raises(RunError, match=r"run folder .*none does not exist"):
        compare(whole, tmp_path / "none")


def test_other_data_sets_and_metrics(tmp_path: Path) -> None:
    one = make_run(tmp_path / "one", noisy(3))
    other = make_run(tmp_path / "other", noisy(3), config=replace(CONFIG, data=DataOptions("minikinetics")))
    with pytest.raises(RunError, match=r"one has the data set folder, .*other has minikinetics;"):
        compare(one, other)
    with pytest.raises(RunError, match=r"one has the metric top1, .*other_metric has map;"):
        compare(one, make_run(tmp_path / "other_metric", noisy(3), "map"))


def test_other_videos_and_labels(tmp_path: Path) -> None:
    one = make_run(tmp_path / "one", noisy(6))
    with pytest.raises(RunError, match=r"^2 videos are only in .*one and 1 only in .*other;"):
        compare(one, make_run(tmp_path / "other", [*noisy(4), row(9)]))
    relabeled = [replace(each, label=(0,)) for each in noisy(6)]
    with pytest.raises(RunError, match=r"^5 videos have different labels in .*one and .*relabeled;"):
        compare(one, make_run(tmp_path / "relabeled", relabeled))


def test_runs_without_answers(tmp_path: Path) -> None:
    one = make_run(tmp_path / "one", noisy(2))
    with pytest.raises(RunError, match="none: none of its 2 videos has a prediction;"):
        compare(one, make_run(tmp_path / "none", [failed(0), failed(1)]))
    with pytest.raises(RunError, match="empty: none of its 0 videos has a prediction;"):
        compare(*2 * [make_run(tmp_path / "empty", [])])
    first, second = ([row(0), failed(1)], [failed(0), row(1)])
    with pytest.raises(RunError, match="have no videos with a prediction in both"):
        compare(make_run(tmp_path / "first", first), make_run(tmp_path / "second", second))


def test_damaged(tmp_path: Path) -> None:
    whole, bad = (make_run(tmp_path / name, noisy(3)) for name in ("whole", "bad"))
    polars.read_parquet(bad / "probabilities.parquet")[:2].write_parquet(bad / "probabilities.parquet")
    with pytest.raises(RunError, match=r"bad/probabilities.parquet does not match predictions.parquet"):
        compare(whole, bad)
    empty = polars.read_parquet(whole / "probabilities.parquet").with_columns(probabilities=polars.lit(None))
    empty.write_parquet(bad / "probabilities.parquet")
    with pytest.raises(RunError, match=r"bad/probabilities.parquet does not match predictions.parquet"):
        compare(whole, bad)
    for content in (polars.DataFrame({"video": ["a"]}).write_parquet, lambda file: file.write_bytes(b"PAR1 rubbish")):
        content(bad / "predictions.parquet")
        with pytest.raises(RunError, match=r"bad/predictions.parquet is not (readable as Parquet|a valid table)"):
            compare(whole, bad)
    (bad / "predictions.parquet").unlink()
    with pytest.raises(RunError, match=r"bad/predictions.parquet does not exist"):
        compare(whole, bad)


@pytest.mark.parametrize("key", ["dataset", "metrics", "config", "bundle", "policy_label"])
def test_an_incomplete_record(tmp_path: Path, key: str) -> None:
    whole, bad = (make_run(tmp_path / name, noisy(3)) for name in ("whole", "bad"))
    content = json.loads((bad / "run.json").read_text())
    del content[key]
    (bad / "run.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=rf"bad: run.json: {key} is missing, not .*; repeat the run$"):
        compare(whole, bad)


# conditions

SLOWER = noisy(700, 1, 1.5, lambda number: number % 10 == 0)
TIMES = {"mean", "p50", "p90", "p99", "videos_per_s"}
REST = {"top1": "WORSE", "top5": "WORSE", "frames": "SAME", "gmacs": "SAME"}


def measured(
    tmp_path: Path, before: HostRecord | None, after: HostRecord | None, rows: Rows | None = None
) -> Comparison:
    one = make_run(tmp_path / "before", noisy(700), host=before)
    return compare(one, make_run(tmp_path / "after", rows or SLOWER, host=after))


@pytest.mark.parametrize(
    ("before", "after", "reasons"),
    [
        (IDLE, BUSY, ("after: other processes used 0.92 of 2 CPUs, limit 0.20",)),
        (BUSY, IDLE, ("before: other processes used 0.92 of 2 CPUs, limit 0.20",)),
        (None, BUSY, ("after: other processes used 0.92 of 2 CPUs, limit 0.20",)),
        (
            BUSY,
            replace(IDLE, throttled_share=0.5),
            (
                "before: other processes used 0.92 of 2 CPUs, limit 0.20",
                "after: the CPU quota stopped the process for 50.0 % of the time, limit 2 %",
            ),
        ),
        (
            replace(IDLE, wanted_cpus=1),
            replace(IDLE, wanted_cpus=1, other_cpus=1.0),
            ("other processes used 1 % of the CPUs before and 50 % after, limit 10 % difference",),
        ),
    ],
)
def test_times_measured_under_load_are_neither_better_nor_worse(
    tmp_path: Path, before: HostRecord | None, after: HostRecord, reasons: tuple[str, ...]
) -> None:
    found = measured(tmp_path, before, after)
    assert found.unstable == reasons
    assert verdicts(found) == REST | dict.fromkeys(TIMES, "UNSTABLE")
    conditions = [side.conditions and side.conditions.verdict for side in (found.before, found.after)]
    expected = [record and ("UNSTABLE" if problems(record) else "VALID") for record in (before, after)]
    assert conditions == expected
    faster = measured(tmp_path / "faster", before, after, noisy(700, 1, 0.5))
    assert {verdicts(faster)[name] for name in TIMES} == {"UNSTABLE"}


def test_times_that_are_the_same_under_load_stay_so(tmp_path: Path) -> None:
    found = verdicts(measured(tmp_path, IDLE, BUSY, noisy(700)))
    assert {found[name] for name in TIMES} == {"SAME"}


@pytest.mark.parametrize(("before", "after"), [(None, None), (IDLE, None), (IDLE, IDLE)])
def test_without_load_or_knowledge_of_it_verdicts_stay(
    tmp_path: Path, before: HostRecord | None, after: HostRecord | None
) -> None:
    found = measured(tmp_path, before, after)
    assert found.unstable == ()
    assert verdicts(found) == REST | dict.fromkeys(TIMES, "WORSE")


def test_every_time_is_one() -> None:
    assert {name for name in NAMES if is_time(name)} == TIMES
