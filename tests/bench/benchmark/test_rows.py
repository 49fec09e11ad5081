from __future__ import annotations

from dataclasses import replace

import pytest

from tests.benches import BUSY, EARLY, EVERY, INT8, ORIGINAL, bench, result, row, turn, usual_bench
from vbench.bench.benchmark import bench_rows, recommendation
from vbench.bench.benchmark.recommend import best_rows
from vbench.bench.benchmark.results import Check
from vbench.bench.benchmark.table import notes, tables

MS = [30.0] * 6


def test_speed_up_and_efficiency_are_ratios_within_a_repetition() -> None:
    early = bench_rows(usual_bench())[1]
    assert early.speed_up_original is not None
    assert early.speed_up_original.ratio == pytest.approx(2.0, rel=0.01)
    assert early.theoretical == pytest.approx(10 / 3)
    assert early.efficiency is not None
    assert early.efficiency.ratio == pytest.approx(1.0, rel=0.01)
    assert early.efficiency.low < 1.0 < early.efficiency.high


def test_the_warm_up_turn_is_in_no_figure_of_speed() -> None:
    rows = bench_rows(bench([result(ORIGINAL, [900.0, *[60.0] * 5])]))
    assert rows[0].latencies == 40
    assert rows[0].videos_per_s == pytest.approx((1000 / 60,) * 3)
    assert rows[0].warm_up_s == pytest.approx(0.5 + 8 * 0.9)


def test_percentiles_without_enough_samples_are_absent() -> None:
    latency = bench_rows(usual_bench())[0].latency_ms
    assert latency is not None
    assert latency["p50"] is not None
    assert latency["p90"] is None
    assert "p90 needs 64 samples" in " ".join(notes(bench_rows(usual_bench())))


def test_agreement_counts_changed_classes_and_exit_steps() -> None:
    int8 = bench_rows(usual_bench())[3]
    assert int8.agreement is not None
    assert (int8.agreement.classes_changed, int8.agreement.exit_steps_changed, int8.agreement.videos) == (1, 0, 8)
    assert int8.agreement.reference == ORIGINAL.name
    assert int8.verdict.name == "VALID"  # a lower precision may change answers; the row says how many


def test_accuracy_is_that_of_the_labels() -> None:
    rows = bench_rows(usual_bench())
    assert rows[0].accuracy == 100.0
    assert rows[3].accuracy == pytest.approx(87.5)


def test_shares_of_the_engine_thread_add_up_to_one() -> None:
    shares = bench_rows(usual_bench())[0].shares
    assert shares is not None
    assert sum(shares[name] for name in ("wait", "backbone", "head", "scheduling")) == pytest.approx(1.0)


def test_an_exact_contender_with_another_answer_is_invalid() -> None:
    found = bench_rows(bench([result(ORIGINAL, MS), result(EARLY, MS, answers=[1, 1, 0, 1, 0, 1, 0, 1])]))
    assert found[1].verdict.name == "INVALID"
    assert "1 of 8 answers differ" in found[1].verdict.reasons[0]


def test_an_exact_contender_with_another_exit_step_is_invalid() -> None:
    found = bench_rows(bench([result(ORIGINAL, MS), result(EARLY, MS, step=4)]))
    assert found[1].verdict.name == "INVALID"


def test_answers_that_change_between_turns_are_invalid() -> None:
    one = result(EARLY, MS)
    one.turns[3] = turn([row(video, 30.0, answer=1 - video % 2) for video in range(8)])
    found = bench_rows(bench([one]))[0]
    assert found.verdict.name == "INVALID"
    assert "accuracy and performance mode" in found.verdict.reasons[0]


def test_a_failed_compliance_check_is_invalid() -> None:
    one = result(EARLY, MS)
    one.checks = [Check("order of clips", passed=False, detail="2 of 8 answers changed (video_1)")]
    assert bench_rows(bench([one]))[0].verdict.reasons == ("order of clips: 2 of 8 answers changed (video_1)",)


def test_too_few_repetitions_are_invalid() -> None:
    found = bench_rows(bench([result(EARLY, MS[:4])]))[0]
    assert (found.verdict.name, found.verdict.reasons) == ("INVALID", ("3 repetitions, fewer than 5",))


def test_too_few_repetitions_of_a_disturbed_machine_name_the_disturbance() -> None:
    verdict = bench_rows(bench([result(EARLY, MS[:4], host=BUSY)]))[0].verdict
    assert verdict.name == "INVALID"
    assert verdict.reasons[0] == "3 repetitions, fewer than 5"
    assert "other processes used 0.95 of 2 CPUs" in verdict.reasons[1]


def test_a_failed_contender_is_invalid_and_the_others_remain() -> None:
    failed = result(EVERY, [], failure="killed by SIGKILL")
    rows = bench_rows(bench([result(ORIGINAL, MS), result(EARLY, MS), failed]))
    assert rows[2].verdict.reasons == ("killed by SIGKILL",)
    assert rows[1].speed_up_all_frames is None
    assert rows[1].verdict.name == "VALID"


def test_videos_without_an_answer_are_invalid() -> None:
    one = result(EARLY, MS)
    broken = tuple(replace(each, error="cannot decode") for each in one.turns[0].rows[:2])
    one.turns[0] = replace(one.turns[0], rows=(*broken, *one.turns[0].rows[2:]))
    reasons = bench_rows(bench([one]))[0].verdict.reasons
    assert "2 of 8 videos have no answer (video_0: cannot decode)" in reasons[0]


def test_a_disturbed_contender_is_unstable_and_says_by_what() -> None:
    verdict = bench_rows(bench([result(ORIGINAL, MS), result(EARLY, MS, host=BUSY)]))[1].verdict
    assert verdict.name == "UNSTABLE"
    assert "other processes used 0.95 of 2 CPUs, limit 0.20 (5 of 5 turns)" in verdict.reasons[0]


def test_one_disturbed_turn_of_five_is_no_reason() -> None:
    one = result(EARLY, MS)
    one.turns[2] = replace(one.turns[2], host=BUSY)
    assert bench_rows(bench([one]))[0].verdict.name == "VALID"


def test_disturbed_turns_do_not_count_if_enough_others_remain() -> None:
    one, base = result(EARLY, [30.0] * 8), result(ORIGINAL, [60.0] * 8)
    slow = turn([row(video, 90.0, answer=video % 2) for video in range(8)], BUSY)
    one.turns[2] = slow
    found = bench_rows(bench([base, one]))[1]
    assert (found.counted_repeats, found.repeats) == (6, 7)
    assert found.speed_up_original is not None
    assert found.speed_up_original.ratio == pytest.approx(2.0)
    assert found.speed_up_original.pairs == 6
    assert found.verdict.name == "VALID"
    for number in (3, 4):
        one.turns[number] = slow  # fewer than five undisturbed ones remain, so all count
    assert bench_rows(bench([base, one]))[1].counted_repeats == 7


def test_repetitions_that_differ_are_unstable() -> None:
    rows = bench_rows(bench([result(ORIGINAL, [60.0] * 6), result(EARLY, [30.0, 20.0, 45.0, 30.0, 60.0, 15.0])]))
    assert rows[1].verdict.name == "UNSTABLE"
    assert "interval" in rows[1].verdict.reasons[0]


def test_the_recommendation_names_the_best_valid_rows() -> None:
    rows = bench_rows(usual_bench())
    assert {kind: each.name for kind, each in best_rows(rows).items()} == {
        "throughput": INT8.name,
        "latency": EARLY.name,
    }
    text = recommendation(rows)
    first, second = text.split("; ")
    assert first.startswith("for throughput: openvino int8, inflight 8, 10.0x the original, accuracy 87.50 %")
    assert first.endswith("changes 1 of 8 classes")
    assert second.startswith("for latency: ort fp32, sequential, 2.0x")
    assert second.endswith("changes no answer")


def test_baselines_are_never_recommended() -> None:
    rows = bench_rows(bench([result(ORIGINAL, [1.0] * 6), result(EVERY, [1.0] * 6, step=10)]))
    assert recommendation(rows).startswith("nothing to recommend")


def test_the_tables_have_a_cell_for_every_column() -> None:
    rows = bench_rows(usual_bench())
    for table in tables(rows, "top1"):
        assert all(len(cells) == len(table.head) for cells in table.rows)
    main = tables(rows, "top1")[0]
    assert main.rows[3][0] == "openvino int8, inflight 8 *throughput"
