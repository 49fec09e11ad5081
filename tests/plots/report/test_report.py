"""Contents of a report: question, answers, tables and fronts; and the report command."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tests.compared_runs import BUSY, CONFIG, IDLE, MACHINE, failed, make_run, noisy
from tests.replay import random_trace
from tests.reported_runs import ALL_FRAMES, chosen, default_and_whole, early, whole
from vbench.bench.records.answers import read_answers
from vbench.bench.records.tables import write_tables
from vbench.bench.sweep.operating_points import ReplaySource
from vbench.bench.sweep.sweep import sweep
from vbench.bench.sweep.sweep_file import SWEEP, make_sweep, write_sweep
from vbench.bench.trace.step_times import trace_step_times
from vbench.bench.trace.trace import Trace
from vbench.bench.trace.trace_file import TRACE
from vbench.cli.report import report
from vbench.errors import RunError, UsageError, VbenchError
from vbench.plots.report.figures import draw
from vbench.plots.report.page import read_page, report_html
from vbench.plots.report.pairs import comparisons
from vbench.plots.report.runs import read_runs
from vbench.plots.report.sentences import answers, question
from vbench.plots.report.tables import Table, facts_table, runs_table, unanswered_table
from vbench.plots.runs.text_format import join_words, number_text, range_text
from vbench.runtime.engines.options import EngineOptions
from vbench.runtime.policies.rules import Patience
from vbench.runtime.scheduler.options import THROUGHPUT

NBSP = "\N{NO-BREAK SPACE}"


def flexible(folder: Path, counts: Sequence[int] = (4, 8)) -> Path:
    for count in counts:
        rows = [replace(each, exit_step=1, frames_used=count, gmacs=0.1 * count) for each in noisy(40, count)]
        name, policy = f"frames_{count:02}", {"kind": "frames", "frames": count}
        at_count = {"variant": name, "policy": policy, "policy_sources": {}, "step_frames": (count,)}
        made = make_run(folder / name, rows, config=chosen(frames=(count,)), **at_count)
        edit(made, lambda record: record["metrics"].update(exit_histogram=[40]))
    return folder


def edit(run: Path, change: Any) -> Path:
    record = json.loads((run / "run.json").read_text())
    change(record)
    (run / "run.json").write_text(json.dumps(record))
    return run


def answer(runs: Sequence[Path]) -> str:
    (said,) = answers(read_runs(runs))
    return said


def cells(table: Table, column: str) -> list[str]:
    place = table.head.index(column)
    return [row[place] for row in table.rows]


# contents


def test_the_question_states_differences_and_shared_settings(tmp_path: Path) -> None:
    asked = question(read_runs(default_and_whole(tmp_path)))
    assert "How accurate is tiny on folder" in asked
    assert f"2{NBSP}runs over 80{NBSP}videos" in asked
    assert "policy (frameexit first=1.0 gate=1.0 and frameexit first=0.95 gate=0.5)" in asked
    assert "Shared by all: engine ort fp32, schedule sequential, machine Some CPU, 4 cores, 2 threads" in asked


def test_the_answer_is_taken_from_the_records(tmp_path: Path) -> None:
    said = answer(default_and_whole(tmp_path))
    assert said.startswith(f"At the default thresholds, tiny on folder with ort fp32 gives 90.0{NBSP}% top-1")
    assert f"at 67{NBSP}% of the MACs" in said
    assert re.search(
        r"and 1\.\d\d times the videos/s of the run over all frames \(all_frames\), which gives 100\.0", said
    )


def test_without_default_thresholds_the_most_accurate_run_is_named(tmp_path: Path) -> None:
    other = {"policy": {"kind": "patience", "times": 2}, "policy_sources": {}}
    runs = [*default_and_whole(tmp_path), make_run(tmp_path / "eager", early(correct=60), **other)]
    edit(runs[1], lambda record: record["config"]["policy"].update(first_threshold=0.95))
    said = answer(runs)
    assert "(default, the most accurate of 2 runs cheaper than the run over all frames)" in said
    assert "default thresholds" not in said


@pytest.mark.parametrize(
    ("changes", "default"),
    [
        ({}, True),
        ({"config": chosen(first_threshold=0.95)}, False),
        ({"config": chosen(gate_thresholds=(0.5,))}, False),
        ({"config": chosen(policy=Patience(2))}, False),
        ({"config": replace(CONFIG, trace=True)}, False),
        ({"policy_sources": {}}, False),
    ],
)
def test_default_thresholds_are_recognized(tmp_path: Path, changes: dict[str, Any], default: bool) -> None:
    (run,) = read_runs([make_run(tmp_path / "run", early()[:8], **changes)])
    assert run.by_default == default


@pytest.mark.parametrize("lost", ["policy", "engine"])
def test_an_incomplete_record_is_not_a_default_run(tmp_path: Path, lost: str) -> None:
    run = edit(make_run(tmp_path / "run", early()[:8]), lambda record: record["config"].pop(lost))
    assert read_runs([run])[0].by_default == (lost != "policy")


def test_the_conditions_of_times_are_stated(tmp_path: Path) -> None:
    runs = read_runs([make_run(tmp_path / name, early(), host=host) for name, host in (("a", IDLE), ("b", BUSY))])
    unstable = "UNSTABLE: other processes used 0.92 of 2 CPUs, limit 0.20"
    facts = {row[0]: row[1:] for row in facts_table(runs).rows}
    assert facts["conditions of the times"] == ("differs", f"VALID (a); {unstable} (b)")
    notes = [note for note in runs_table(runs).notes if "load" in note]
    assert notes == [f"The times of b depend on the load of the machine. Conditions: {unstable}."]


def test_a_run_that_saves_nothing_is_not_an_answer(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, whole(), policy=ALL_FRAMES) for name in ("one", "two")]
    assert "No run uses less compute than the run over all frames." in answer(runs)


def test_a_trace_is_the_baseline_only_as_a_last_resort(tmp_path: Path) -> None:
    traced, _ = traced_run(tmp_path / "traced")
    runs = default_and_whole(tmp_path)
    assert "the run over all frames (all_frames)" in answer([traced, *runs])
    assert "the run over all frames (traced, which recorded a trace)" in answer([traced, runs[1]])


def test_without_a_run_over_all_frames_the_answer_names_what_is_missing(tmp_path: Path) -> None:
    page = read_page([make_run(tmp_path / "one", early())])
    assert "This is one run" in page.question
    assert "The saving from early exits is unknown" in page.answers[0]
    assert "--first-threshold 1" in page.answers[0]
    assert page.comparisons == page.not_compared == ()
    assert any(line.startswith("Realized speed-up:") for line in page.figures_left_out)


def test_runs_of_other_engines_and_machines_have_separate_answers(tmp_path: Path) -> None:
    runs = default_and_whole(tmp_path)
    other = replace(CONFIG, engine=EngineOptions(engine="openvino", threads=2), stream=THROUGHPUT)
    runs.append(make_run(tmp_path / "openvino", early(), config=other, machine={**MACHINE, "processor": "Other"}))
    said = answers(read_runs(runs))
    assert len(said) == 2
    assert "At the default thresholds" in said[0]
    assert "openvino fp32, Other, 4 cores, 2 threads, inflight, 8 slots" in said[1]
    facts = {row[0]: row[1:] for row in facts_table(read_runs(runs)).rows}
    assert facts["processor"] == ("differs", "Some CPU (all_frames, default); Other (openvino)")
    assert facts["cores"] == ("same", "4")
    assert facts["first_threshold from"] == ("same", "the data set folder")
    assert "conditions of the times" not in facts, "which these runs do not have"
    assert "Warning: these runs come from different machines" in report_html(runs, "vbench report")


def test_the_table_of_runs(tmp_path: Path) -> None:
    left = ({"video": "gone", "reason": "not there"},)
    table = runs_table(read_runs([make_run(tmp_path / "one", [*early(), failed(81)], left_out=left)]))
    assert cells(table, "top-1") == [f"90.00{NBSP}%"]
    assert cells(table, "95 % interval") == [f"81.5{NBSP}to{NBSP}94.8"]
    assert cells(table, "videos") == ["81"]
    assert cells(table, "no answer") == ["1"]
    assert cells(table, "left out") == ["1"]
    assert cells(table, "p99 ms") == ["-"]
    assert cells(table, "p90 ms") != ["-"]
    assert any("No p99 for one: it requires the latencies of 662 videos" in note for note in table.notes)
    assert "GFLOPs (paper)" not in table.head


def test_the_interval_of_a_map_contains_it(tmp_path: Path) -> None:
    run = make_run(tmp_path / "one", early(), metric="map")
    accuracy = json.loads((run / "run.json").read_text())["metrics"]["accuracy"]
    interval = read_answers(run, "map").interval
    assert interval is not None
    assert 0 < interval.low < accuracy < interval.high <= 100
    assert "mAP" in runs_table(read_runs([run])).head


def test_a_nan_is_a_miss_in_the_interval_too(tmp_path: Path) -> None:
    run = make_run(tmp_path / "one", early()[:10])
    write_tables(run, [replace(each, probability=float("nan")) for each in early()[:10]])  # as an earlier version did
    found = read_answers(run, "top1").interval
    assert found is not None
    assert found.low == 0


def test_videos_without_an_answer_are_listed_up_to_fifty(tmp_path: Path) -> None:
    rows = [*early(), *(failed(number) for number in range(100, 160))]
    runs = [make_run(tmp_path / name, rows) for name in ("one", "two")]
    table = unanswered_table(read_runs(runs))
    assert table is not None
    assert len(table.rows) == 50
    assert table.rows[0] == ("video0100", "broken", "all")
    assert table.notes == ("10 more are listed in the tables of the runs.",)


def test_at_most_five_runs_over_the_same_videos_are_compared(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / f"run{number}", early(20, seed=number)) for number in range(8)]
    make_run(tmp_path / "fewer", early(15))
    tables, without = comparisons(read_runs([runs[0], tmp_path / "fewer", *runs[1:]]))
    assert len(tables) == 5
    assert tables[0].caption == "run0 (before) and run1 (after)"
    assert tables[0].rows[0][0] == "top-1"
    assert tables[0].rows[0][-1] == "SAME"
    assert without[0] == "run0 and fewer are not compared: 5 videos are only in run0 and 0 only in fewer."
    assert without[1] == "Not compared, to keep the page short: run6 and run7."


def test_a_folder_of_frame_counts_denotes_its_runs(tmp_path: Path) -> None:
    runs = [flexible(tmp_path / "ffn"), flexible(tmp_path / "st")]
    assert [run.name for run in read_runs(runs)] == ["ffn/frames_04", "ffn/frames_08", "st/frames_04", "st/frames_08"]
    page = read_page(runs[:1])
    assert cells(page.runs, "run") == ["frames_04", "frames_08"]
    assert "Accuracy against frames" in [figure.title for figure in page.figures]
    assert page.answers[0].startswith("With 4 frames, tiny on folder")


def test_a_figure_that_cannot_be_drawn_is_omitted_with_the_reason(tmp_path: Path) -> None:
    runs = read_runs([flexible(tmp_path / "ffn"), flexible(tmp_path / "st")])
    found = draw([run.point for run in runs], [])
    assert "Accuracy against frames" not in [figure.title for figure in found.drawn]
    assert found.left_out == ("Accuracy against frames: tiny, ort, folder has 2 runs at 4 frames.",)


# sweeps


def traced_run(folder: Path, metric: str = "top1") -> tuple[Path, Trace]:
    run = make_run(folder, whole(), config=replace(CONFIG, trace=True), policy={"kind": "everything"})
    return run, random_trace(60, steps=5, metric=metric)


def test_a_sweep_is_shown_with_its_front(tmp_path: Path) -> None:
    run, trace = traced_run(tmp_path / "traced")
    sources = [ReplaySource(str(run), trace, trace_step_times(trace, str(run)))]
    write_sweep(run / SWEEP, make_sweep(sources, sweep(sources, points=64)))
    page = read_page([run])
    assert page.figures[-1].title == "Other policies, replayed"
    (front,) = page.fronts
    assert front.rows[0][1] == "default"
    assert 3 <= len(front.rows) <= 13
    gmacs = [float(row[front.head.index("GMACs")]) for row in front.rows[1:]]
    assert gmacs == sorted(gmacs)
    assert front.head[:5] == ("policy", "kind", "top-1", "95 % interval", "GFLOPs (paper)")
    assert "frameexit first=" in front.rows[0][0]
    assert cells(page.runs, "policy") == ["everything (trace)"]


def test_a_trace_that_was_not_swept_is_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, trace = traced_run(tmp_path / "traced")
    (run / TRACE).touch()
    monkeypatch.setattr("vbench.bench.sweep.sweep.read_trace", lambda _: trace)
    assert len(read_page([run]).fronts) == 1


def test_a_damaged_trace_omits_only_its_figure(tmp_path: Path) -> None:
    run, _ = traced_run(tmp_path / "traced")
    (run / TRACE).write_bytes(b"no table")
    page = read_page([run])
    assert page.fronts == ()
    (why,) = [line for line in page.figures_left_out if "not readable as Parquet" in line]
    assert "traced/trace.parquet" in why
    assert str(tmp_path) not in why


# the command


app = typer.Typer()
app.command()(report)


def command(*args: Path | str) -> VbenchError | str:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    if isinstance(result.exception, VbenchError):
        return result.exception
    assert result.exception is None, result.output
    return result.stdout


def test_the_command_writes_one_file(tmp_path: Path) -> None:
    runs = default_and_whole(tmp_path)
    out = tmp_path / "new" / "page.html"
    assert command(*runs, "-o", out, "--title", "A & B") == f"{out}\n"
    assert [path.name for path in out.parent.iterdir()] == ["page.html"]
    assert "<h1>A &amp; B</h1>" in out.read_text(encoding="utf-8")


def test_bad_input_ends_in_one_line_and_no_file(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    done = make_run(tmp_path / "done", early())
    half = edit(make_run(tmp_path / "half", early()), lambda record: record.update(complete=False))
    bare = make_run(tmp_path / "bare", early())
    (bare / "predictions.parquet").unlink()
    broken = make_run(tmp_path / "broken", early())
    (broken / "predictions.parquet").write_bytes(b"no table")
    said = {run: command(done, run, "-o", out) for run in (tmp_path / "nowhere", half, bare, broken)}
    assert all(isinstance(error, RunError) and "\n" not in str(error) for error in said.values())
    words = ("does not exist", "did not finish", "does not exist", "not readable as Parquet")
    assert all(word in str(error) for word, error in zip(words, said.values()))
    assert not out.exists()
    with pytest.raises(UsageError, match="there is no run to report on"):
        read_page([])


def test_an_unwritable_path_is_left_untouched(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", early())
    folder = tmp_path / "folder"
    folder.mkdir()
    before = sorted(tmp_path.iterdir())
    assert isinstance(command(run, "-o", folder), UsageError)
    assert isinstance(command(run, "-o", run / "run.json" / "page.html"), UsageError)
    assert sorted(tmp_path.iterdir()) == before
    assert list(folder.iterdir()) == []


# numbers


def test_numbers() -> None:
    assert number_text(None) == range_text(None) == "-"
    assert number_text(1.0, "ms") == f"1.00{NBSP}ms"
    assert number_text(0.12345, digits=4) == "0.1235"
    assert join_words(["a"]) == "a"
    assert join_words(["a", "b", "c"]) == "a, b and c"
