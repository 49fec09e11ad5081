"""Drift between runs over different videos: verdicts on simulated samples, and runs that have no such comparison."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compared_runs import CONFIG, Rows, failed, make_run, noisy
from tests.drifting_runs import sample, simulated
from vbench.bench.compare.compare import compare
from vbench.bench.compare.drift import Drift, DriftRow, DriftVerdict, drift, drift_between, drift_verdict
from vbench.bench.records.tables import write_tables
from vbench.errors import RunError
from vbench.runtime.engines.options import EngineOptions

DISTRIBUTIONS = ("exit_step", "decisions", "gates", "confidence")


def rows(found: Drift) -> dict[str, DriftRow]:
    return {row.name: row for row in found.rows}


def verdicts(found: Drift) -> dict[str, DriftVerdict]:
    return {row.name: row.verdict for row in found.rows}


def simulate(videos: tuple[int, int], times: int, **today: float) -> list[Drift]:
    return [
        drift_between(simulated(videos[0], 2 * seed), simulated(videos[1], 2 * seed + 1, **today))
        for seed in range(times)
    ]


# verdicts on samples with known truth


@pytest.mark.parametrize("videos", [(1, 1), (5, 5), (20, 30)])
def test_small_samples_of_one_distribution_do_not_drift(videos: tuple[int, int]) -> None:
    """The probability of any DRIFT is at most 5 %."""
    found = Counter(each.verdict for each in simulate(videos, 150))
    assert found["DRIFT"] <= 0.05 * 150
    assert found["NO DRIFT"] == 0, "a few videos rule out nothing"


@pytest.mark.slow
@pytest.mark.parametrize(("videos", "times"), [((100, 40), 1000), ((400, 300), 300)])
def test_samples_of_one_distribution_do_not_drift(videos: tuple[int, int], times: int) -> None:
    assert Counter(each.verdict for each in simulate(videos, times))["DRIFT"] <= 0.05 * times


def test_large_samples_of_one_distribution_have_no_drift() -> None:
    found = simulate((1500, 1500), 3)
    assert [each.verdict for each in found] == 3 * ["NO DRIFT"]


def test_a_clear_shift_drifts() -> None:
    found = simulate((150, 150), 10, harder=1.0)
    assert all(verdicts(each)[name] == "DRIFT" for each in found for name in DISTRIBUTIONS)
    exit_step, decisions = (rows(found[0])[name] for name in ("exit_step", "decisions"))
    assert exit_step.change > 1
    assert decisions.change < -0.1
    assert exit_step.interval is not None
    assert exit_step.interval.low < exit_step.change < exit_step.interval.high
    assert exit_step.gap is not None
    assert exit_step.gap.reference - exit_step.gap.today == pytest.approx(100 * exit_step.effect)


def test_more_errors_drift_alone() -> None:
    found = simulate((200, 200), 10, errors=0.2)
    assert [verdicts(each)["error_rate"] for each in found] == 10 * ["DRIFT"]
    assert not any(verdicts(each)[name] == "DRIFT" for each in found for name in DISTRIBUTIONS)


def test_a_negligible_shift_is_significant_but_no_drift() -> None:
    found = drift_between(simulated(20_000, 1), simulated(20_000, 2, harder=0.1))
    exit_step = rows(found)["exit_step"]
    assert exit_step.corrected_p < 0.05
    assert 0.02 < exit_step.effect < 0.06
    assert (exit_step.verdict, found.verdict) == ("NO DRIFT", "NO DRIFT")


def test_a_drift_of_the_minimum_size_is_rarely_denied() -> None:
    """Exit at step 1 or 2: 50 % or 60 % exit at step 1, a distance of 0.1."""
    random = np.random.default_rng(4)
    one, other = simulated(10, 0), simulated(10, 1)

    def verdict() -> DriftVerdict:
        sides = [sample(random.random(600) > share) for share in (0.5, 0.6)]
        return verdicts(drift_between(replace(one, frames=sides[0]), replace(other, frames=sides[1])))["exit_step"]

    assert [verdict() for _ in range(100)].count("NO DRIFT") <= 5


@pytest.mark.parametrize(
    ("p", "effect", "at_most", "verdict"),
    [
        (0.05, 0.1, 0.2, "DRIFT"),
        (0.06, 0.3, 0.5, "UNDECIDED"),
        (0.001, 0.09, 0.11, "UNDECIDED"),
        (0.001, 0.08, 0.09, "NO DRIFT"),
        (1, 0, 0.1, "UNDECIDED"),
    ],
)
def test_verdicts(p: float, effect: float, at_most: float, verdict: str) -> None:
    assert drift_verdict(p, effect, at_most, 0.1) == verdict


def test_p_is_corrected_for_the_number_of_rows() -> None:
    found = drift_between(simulated(40, 1), simulated(40, 2, harder=0.4))
    assert all(row.corrected_p >= row.p for row in found.rows)
    smallest = min(found.rows, key=lambda row: row.p)
    assert smallest.corrected_p == pytest.approx(5 * smallest.p)


# runs on disk


def other_videos(videos: int, **changes: Any) -> Rows:
    """Return videos whose names differ from those of ``noisy``."""
    return [replace(each, **{"video": f"later{each.video}", **changes}) for each in noisy(videos)]


def test_runs_over_other_videos(tmp_path: Path) -> None:
    before = make_run(tmp_path / "reference", [*noisy(30), failed(30), failed(31)])
    later = [*other_videos(30), replace(failed(40), label=None)]
    found = drift(before, make_run(tmp_path / "today", later))
    assert (found.videos, found.errors, found.same_names) == ((32, 31), (2, 1), 0)
    assert (found.datasets, found.set_ups, found.absent) == (("folder", "folder"), (), {})
    assert [row.name for row in found.rows] == [*DISTRIBUTIONS, "error_rate"]
    assert {row.name: row.videos for row in found.rows} == {
        **dict.fromkeys(DISTRIBUTIONS, (30, 30)),
        "error_rate": (32, 31),
    }
    assert rows(found)["exit_step"].reference == 2
    assert rows(found)["error_rate"].reference == pytest.approx(100 * 2 / 32)
    assert found.verdict == "UNDECIDED"


def test_one_score_is_a_confidence_and_the_rest_are_gate_values(tmp_path: Path) -> None:
    scores = {"frames_used": 3, "exit_step": 3, "scores": (0.25, 0.5, 1.0)}
    run = make_run(tmp_path / "run", other_videos(4, **scores))
    found = rows(drift(run, run))
    assert (found["decisions"].reference, found["gates"].reference) == (0.25, 0.75)


def test_a_network_of_one_step_has_no_exit_steps(tmp_path: Path) -> None:
    policy = {"kind": "frames", "frames": 4}
    run = make_run(tmp_path / "run", other_videos(9, scores=(), exit_step=1, frames_used=4), policy=policy)
    found = drift(run, run)
    assert [row.name for row in found.rows] == ["confidence", "error_rate"]
    assert found.absent == {
        "exit_step": "every video ends at the same step, without a decision",
        "decisions": "no video has one under the policy 4 frames",
        "gates": "no video has one under the policy 4 frames",
    }


def test_a_cascade_has_exit_steps_and_confidences(tmp_path: Path) -> None:
    policy = {"kind": "cascade", "counts": [4, 8], "threshold": 0.9}
    run = make_run(tmp_path / "run", other_videos(9, scores=(0.5,), exit_step=2, frames_used=12), policy=policy)
    found = drift(run, run)
    assert [row.name for row in found.rows] == ["exit_step", "decisions", "confidence", "error_rate"]
    assert set(found.absent) == {"gates"}


def test_traces_have_no_exit_steps(tmp_path: Path) -> None:
    config = replace(CONFIG, trace=True)
    run = make_run(tmp_path / "run", other_videos(9), config=config, policy={"kind": "everything"})
    found = drift(run, run)
    assert found.absent == {"exit_step": "a trace runs all steps of every video"}


def test_a_distribution_may_be_missing_in_one_run(tmp_path: Path) -> None:
    reference = make_run(tmp_path / "reference", other_videos(9))
    today = make_run(tmp_path / "today", other_videos(9, scores=(0.99,), exit_step=1, frames_used=1))
    assert drift(reference, today).absent == {"gates": f"no video of {today} has one"}


def test_a_run_in_which_everything_failed_drifts(tmp_path: Path) -> None:
    reference = make_run(tmp_path / "reference", noisy(9))
    today = make_run(tmp_path / "today", [failed(number) for number in range(9)])
    found = drift(reference, today)
    assert found.absent == dict.fromkeys(DISTRIBUTIONS, f"no video of {today} has one")
    assert (verdicts(found), found.verdict) == ({"error_rate": "DRIFT"}, "DRIFT")
    with pytest.raises(RunError, match="today: none of its 9 videos has a prediction; pass a reference run with"):
        drift(today, reference)


def test_one_video_decides_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", noisy(1))
    found = drift(run, run)
    assert set(verdicts(found).values()) == {"UNDECIDED"}
    assert found.same_names == 1
    assert {row.interval for row in found.rows if row.name != "error_rate"} == {None}


def test_nan_in_the_tables_of_an_earlier_version_is_left_out(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", noisy(5))
    nan = float("nan")
    write_tables(run, [replace(each, scores=(nan, 0.5), probability=nan) for each in noisy(5)])
    reason = "no video has one under the policy frameexit first=0.95 gate=0.5"
    assert drift(run, run).absent == {"decisions": reason, "confidence": reason}


def test_other_engines_are_listed(tmp_path: Path) -> None:
    one = make_run(tmp_path / "one", noisy(3))
    config = replace(CONFIG, engine=EngineOptions(engine="openvino", precision="int8", threads=1))
    other = make_run(tmp_path / "other", other_videos(3), config=config)
    assert drift(one, other).set_ups == ("engine ort / openvino", "precision fp32 / int8")


# runs that cannot be compared


def test_other_bundles_and_policies(tmp_path: Path) -> None:
    one = make_run(tmp_path / "one", noisy(3))
    bundle = {"name": "tiny", "network": "frameexit", "sha256": "0123456789abcdef"}
    with pytest.raises(RunError, match=r"one has the bundle tiny \(frameexit, SHA-256 0\), .*other has .*89ab\);"):
        drift(one, make_run(tmp_path / "other", noisy(3), bundle=bundle))
    policy = {"kind": "frameexit", "first_threshold": 0.9, "gate_thresholds": [0.5]}
    with pytest.raises(RunError, match=r"one has the policy frameexit first=0.95 .*first=0.9 gate=0.5; pass the same"):
        drift(one, make_run(tmp_path / "policy", noisy(3), policy=policy))


def test_unfinished_and_empty_runs(tmp_path: Path) -> None:
    whole = make_run(tmp_path / "whole", noisy(3))
    content = json.loads((whole / "run.json").read_text())
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "run.json").write_text(json.dumps({**content, "complete": False, "metrics": None}))
    with pytest.raises(RunError, match=r"half: the run did not finish; resume it: vbench run --resume .*half$"):
        drift(whole, tmp_path / "half")
    with pytest.raises(RunError, match=r"run folder .*none does not exist"):
        drift(tmp_path / "none", whole)
    with pytest.raises(RunError, match=r"empty has no videos; pass a run over at least one video"):
        drift(whole, make_run(tmp_path / "empty", []))


@pytest.mark.parametrize("key", ["dataset", "config", "bundle", "policy", "policy_label"])
def test_an_incomplete_record(tmp_path: Path, key: str) -> None:
    whole, bad = (make_run(tmp_path / name, noisy(3)) for name in ("whole", "bad"))
    content = json.loads((bad / "run.json").read_text())
    del content[key]
    (bad / "run.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=rf"bad: run.json: {key} is missing, not .*; repeat the run$"):
        drift(whole, bad)


def test_the_comparison_of_the_same_videos_names_the_option(tmp_path: Path) -> None:
    one, other = make_run(tmp_path / "one", noisy(3)), make_run(tmp_path / "other", other_videos(3))
    with pytest.raises(RunError, match="compare the samples: vbench compare --drift"):
        compare(one, other)
