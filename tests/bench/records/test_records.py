"""The files of a run: each has one reader, and round trips are lossless."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compared_runs import CONFIG, failed, make_run, noisy
from vbench.bench.datasets.options import DataOptions
from vbench.bench.records import journal, planned
from vbench.bench.records.answers import require_answers
from vbench.bench.records.run_file import SCHEMA_VERSION, Entries, is_run, read_run, runs_in, variant_runs
from vbench.bench.records.run_folder import RunConfig, open_unfinished
from vbench.bench.records.tables import read_predictions, read_probabilities
from vbench.bench.records.video_row import VideoRow
from vbench.errors import CheckError, FrameError, RunError, UsageError
from vbench.runtime.engines.options import EngineOptions
from vbench.runtime.inputs.base import ReadCost
from vbench.runtime.policies.choice import PolicyChoice
from vbench.runtime.scheduler.options import StreamOptions
from vbench.runtime.scheduler.results import ClipCost, ClipResult, Step, predict

ROOT = Path(__file__).parents[3]
OWNERS = {
    "run.json": "bench/records/run_file.py",
    "journal.jsonl": "bench/records/journal.py",
    "planned.json": "bench/records/planned.py",
    "predictions.parquet": "bench/records/tables.py",
    "probabilities.parquet": "bench/records/score_table.py",
}
# The other table formats have their own modules.
PARQUET_READERS = {
    "bench/benchmark/bench_folder.py",
    "bench/features/features_file.py",
    "bench/records/tables.py",
    "bench/trace/trace_file.py",
    "bench/sweep/sweep_file.py",
}
LOGITS = np.array([0.5, 2.0, 1.0], np.float32)
STEPS = (Step(None, LOGITS, 0.4, 0.01, 0.02), Step(0.7, None, 0.7, 0.01, 0.03), Step(None, LOGITS, None, 0.02, 0.05))
COST = ClipCost(
    read=ReadCost(decode_s=0.01, preprocess_s=0.02, frames_read=4, frames_decoded=6, frames_replaced=1),
    macs=3_000_000_000,
    macs_wasted=5e8,
    latency_s=0.05,
    wait_s=0.001,
    backbone_s=0.002,
    head_s=0.003,
    scheduling_s=0.004,
    elapsed_s=0.06,
)


# one reader


def modules() -> Iterator[tuple[str, ast.Module]]:
    for package in ("bench", "cli", "export", "fit", "models", "plots", "runtime", "tools"):
        for file in sorted((ROOT / package).rglob("*.py")):
            yield file.relative_to(ROOT).as_posix(), ast.parse(file.read_text(encoding="utf-8"))


def texts(tree: ast.Module) -> set[str]:
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def imported(tree: ast.Module) -> set[str]:
    return {name.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for name in node.names}


@pytest.mark.parametrize("name", OWNERS)
def test_one_module_names_a_file(name: str) -> None:
    naming = {module for module, tree in modules() if any(text.rpartition("/")[2] == name for text in texts(tree))}
    assert naming == {OWNERS[name]}


def test_modules_naming_the_record_do_not_read_it() -> None:
    """Only its writer and error messages name it."""
    for module, tree in modules():
        if "RUN_FILE" in imported(tree):
            called = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
            assert called.isdisjoint({"open", "read_text", "read_bytes", "load", "loads"}), module


def test_one_module_reads_each_kind_of_table() -> None:
    def uses(tree: ast.Module, *names: str) -> bool:
        nodes = (getattr(node, "attr", getattr(node, "id", None)) for node in ast.walk(tree))
        return any(name in names for name in nodes)

    found = list(modules())
    assert {name for name, tree in found if uses(tree, "read_parquet", "scan_parquet")} == {"bench/records/parquet.py"}
    assert {name for name, tree in found if uses(tree, "read_table")} == PARQUET_READERS


def test_the_schema_version_is_defined_once() -> None:
    assert SCHEMA_VERSION == 4
    tree = ast.parse((ROOT / OWNERS["run.json"]).read_text(encoding="utf-8"))
    assert any(isinstance(node, ast.Assign) and ast.unparse(node) == "SCHEMA_VERSION = 4" for node in tree.body)


# rows


def result(**changes: Any) -> ClipResult:
    found = predict(LOGITS, None, exit_step=3, frames_used=3, macs=COST.macs)
    return replace(ClipResult(0, found, None, STEPS, COST), **changes)


def test_a_row_holds_what_the_scheduler_returned() -> None:
    row = VideoRow.from_result("clap/1", [1], result(), traced=False)
    assert (row.video, row.label, row.prediction, row.exit_step, row.frames_used) == ("clap/1", (1,), 1, 3, 3)
    assert row.probability == pytest.approx(np.exp(2) / np.exp(LOGITS).sum())
    assert row.probabilities is not None
    assert row.probabilities.sum() == pytest.approx(1)
    assert (row.frames_read, row.frames_decoded, row.frames_replaced) == (4, 6, 1)
    assert (row.gmacs, row.gmacs_wasted) == (3.0, 0.5)
    assert row.scores == (0.4, 0.7), "the last step compares nothing"
    times = (row.latency_ms, row.decode_ms, row.preprocess_ms, row.wait_ms, row.backbone_ms, row.head_ms)
    assert times == pytest.approx((50, 10, 20, 1, 2, 3))
    assert (row.scheduling_ms, row.elapsed_ms) == pytest.approx((4, 60))
    assert row.error is None
    assert row.steps == ()
    assert VideoRow.from_result("clap/1", [1], result(), traced=True).steps == STEPS


def test_a_failed_clip_has_its_error_and_its_cost() -> None:
    error = FrameError("clip.mp4: frame 3 cannot be decoded", "exclude it")
    row = VideoRow.from_result("clap/1", None, result(prediction=None, error=error), traced=True)
    assert row.error == str(error)
    assert (row.label, row.prediction, row.probability, row.exit_step, row.gmacs) == (None, None, None, None, None)
    assert (row.latency_ms, row.scores, row.probabilities, row.steps) == (None, None, None, ())
    assert (row.frames_read, row.gmacs_wasted, row.elapsed_ms) == (4, 0.5, pytest.approx(60))


# the journal


def test_journal_rows_round_trip_bit_for_bit(tmp_path: Path) -> None:
    rows = [
        VideoRow.from_result("a", [1], result(), traced=True),
        VideoRow.from_result("b", None, result(), traced=False),
        failed(3),
    ]
    for row in rows:
        journal.append(tmp_path, row)
    back = list(journal.read(tmp_path))
    assert [replace(row, probabilities=None, steps=()) for row in back] == [
        replace(row, probabilities=None, steps=()) for row in rows
    ]
    assert back[0].probabilities is not None
    np.testing.assert_array_equal(back[0].probabilities, rows[0].probabilities)
    for step, written in zip(back[0].steps, STEPS, strict=True):
        assert step._replace(logits=None) == written._replace(logits=None)
        assert (step.logits is None) == (written.logits is None)
    journal.remove(tmp_path)
    assert list(journal.read(tmp_path)) == []
    journal.remove(tmp_path)


@pytest.mark.parametrize("line", ["no JSON", "[]", '{"video": "a"}', '{"steps": [], "unheard": 1}'])
def test_a_damaged_journal_is_a_one_line_error(tmp_path: Path, line: str) -> None:
    journal.append(tmp_path, failed(0))
    with (tmp_path / "journal.jsonl").open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
    with pytest.raises(RunError, match=r"journal\.jsonl: line 2 is damaged; start a new run$"):
        list(journal.read(tmp_path))


def test_a_repeated_line_counts_once(tmp_path: Path) -> None:
    for number in (0, 1, 0, 2, 1):
        journal.append(tmp_path, failed(number))
    assert [row.video for row in journal.read(tmp_path)] == ["video0000", "video0001", "video0002"]


def test_two_different_results_for_a_video_are_refused(tmp_path: Path) -> None:
    for row in (failed(0), failed(1), replace(failed(0), elapsed_ms=4.0)):
        journal.append(tmp_path, row)
    with pytest.raises(RunError, match=r"lines 1 and 3 hold different results for video0000; remove one of the two"):
        list(journal.read(tmp_path))


def test_a_journal_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("precious")
    (tmp_path / "run" / "journal.jsonl").symlink_to(elsewhere)
    with pytest.raises(UsageError, match="cannot write"):
        journal.append(tmp_path / "run", failed(0))
    with pytest.raises(UsageError, match="cannot write"):
        list(journal.read(tmp_path / "run"))
    assert elsewhere.read_text() == "precious"


def test_the_videos_of_an_unfinished_run_round_trip(tmp_path: Path) -> None:
    videos = {"b": (1, 2), "a": None, "caf\\xe9": ()}
    planned.write(tmp_path, videos)
    assert planned.read(tmp_path) == videos
    assert list(planned.read(tmp_path) or ()) == ["b", "a", "caf\\xe9"]
    (tmp_path / "planned.json").write_text("[1]")
    with pytest.raises(RunError, match=r"planned\.json is damaged; start a new run"):
        planned.read(tmp_path)
    planned.remove(tmp_path)
    assert planned.read(tmp_path) is None


def test_a_run_without_an_answer(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [failed(0), failed(1)])
    words = f"none of the 2 videos of {run} has a prediction; the first, video0000, failed: broken"
    with pytest.raises(CheckError, match=words):
        require_answers(run, read_run(run).object("metrics").content)
    run = make_run(tmp_path / "other", [failed(0), *noisy(2)[1:]])
    require_answers(run, read_run(run).object("metrics").content)


# the record


def entries(**content: Any) -> Entries:
    return Entries(Path("run"), content, "metrics")


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (lambda: entries().get("a", int), "metrics.a is missing, not an integer"),
        (lambda: entries(a=None).get("a", str), "metrics.a is null, not a string"),
        (lambda: entries(a=True).get("a", int), "metrics.a is a boolean, not an integer"),
        (lambda: entries(a=1).get("a", bool), "metrics.a is an integer, not a boolean"),
        (lambda: entries(a=float("nan")).number("a"), "metrics.a is nan, not a number"),
        (lambda: entries(a=True).number("a"), "metrics.a is True, not a number"),
        (lambda: entries(a="1").number_or_none("a"), "metrics.a is '1', not a number"),
        (lambda: entries(a=[1, -1]).counts("a"), "metrics.a holds a value that is not a count"),
        (lambda: entries(a=[1.0]).counts("a"), "metrics.a holds a value that is not a count"),
        (lambda: entries(a=[]).object("a"), "metrics.a is a list, not an object"),
        (lambda: entries(a=[]).object_or_empty("a"), "metrics.a is a list, not an object"),
        (lambda: entries(a={}).object("a").number("b"), "a.b is None, not a number"),
    ],
)
def test_entries_of_another_type(read: Any, words: str) -> None:
    with pytest.raises(RunError) as caught:
        read()
    assert str(caught.value) == f"run: run.json: {words}; repeat the run"


def test_entries_of_the_right_type() -> None:
    found = entries(flag=True, count=2, share=0.5, counts=[0, 3], nothing=None)
    assert (found.get("flag", bool), found.get("count", int)) == (True, 2)
    assert (found.number("count"), found.number("share")) == (2.0, 0.5)
    assert found.number_or_none("nothing") is found.number_or_none("absent") is None
    assert found.counts("counts") == (0, 3)
    assert found.object_or_empty("absent").content == {}


def test_folders_of_runs(tmp_path: Path) -> None:
    counts = tmp_path / "counts"
    for name in ("frames_08", "frames_04", "notes"):
        (counts / name).mkdir(parents=True)
    for name in ("frames_08", "frames_04"):
        (counts / name / "run.json").write_text(json.dumps({"variant": name}))
    shutil.copytree(counts / "frames_08", counts / ".frames_08.tmp-0")  # not complete
    assert variant_runs(counts) == runs_in(counts) == [counts / "frames_04", counts / "frames_08"]
    assert not is_run(counts)
    (counts / "run.json").touch()
    assert is_run(counts)
    assert variant_runs(counts) == [], "a run itself stands for no others"


def test_the_tables_hold_every_row(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [*noisy(2), failed(2)])
    assert read_predictions(run, ["video"])["video"].to_list() == ["video0000", "video0001", "video0002"]
    assert "gmacs_wasted" in read_predictions(run).columns
    assert read_probabilities(run)["probabilities"].is_null().to_list() == [False, False, True]
    message = r"predictions\.parquet is not a valid table of predictions: column unheard is missing"
    with pytest.raises(RunError, match=message):
        read_predictions(run, ["unheard"])


def test_the_header_names_engine_data_policy_and_schedule(tmp_path: Path) -> None:
    record = read_run(make_run(tmp_path / "run", noisy(2), step_frames=(4, 8)), finished=True)
    assert (record.get("engine", str), record.get("dataset", str)) == ("ort", "folder")
    assert record.object("config").object("engine").get("threads", int) == 2
    assert record.object("schedule").content == {
        "schedule": "sequential",
        "slots": 1,
        "prefetch": 1,
        "workers": 1,
        "sync": "step",
    }
    assert record.get("policy_label", str) == "frameexit first=0.95 gate=0.5"
    assert record.object("policy_sources").content == {"first_threshold": "the data set folder"}
    assert record.counts("step_frames") == (4, 8)


# resuming


CONFIGS = (
    CONFIG,
    RunConfig("bundles/x"),
    RunConfig(
        bundle="bundles/x",
        engine=EngineOptions(
            "int8", 3, Path("x.pth"), engine="trt", device="cuda:1", provider="tensorrt", graphs=False
        ),
        data=DataOptions("sthv1", Path("data"), 5),
        stream=StreamOptions("inflight", 3, 2, 4),
        policy=PolicyChoice(frames=(4, 8), cascade=0.9, gate_thresholds=(0.1, 0.2), budget_ms=3.0, first_threshold=0.5),
        trace=True,
    ),
)


def unfinished(folder: Path, config: RunConfig = CONFIG) -> Path:
    run = make_run(folder, noisy(2), config=config)
    edit(run, complete=False, metrics=None)
    return run


def edit(run: Path, **changes: Any) -> None:
    content = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**content, **changes}))


@pytest.mark.parametrize("config", CONFIGS)
def test_a_configuration_round_trips(tmp_path: Path, config: RunConfig) -> None:
    assert RunConfig.from_record(json.loads(json.dumps(config.record())), "here") == config
    run = unfinished(tmp_path / "run", config)
    for row in noisy(3)[:1]:
        journal.append(run, row)
    found = open_unfinished(run)
    assert (found.config, found.bundle_digest, found.done) == (config, "0", {"video0000"})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"complete": True}, "is already complete; start a new one"),
        ({"config": None}, "config is null, not an object"),
        ({"config": {}}, "run.json: config does not hold the expected options"),
        ({"bundle": {}}, "bundle.sha256 is missing, not a string"),
        ({"schema_version": 2}, "schema version 2, expected 4; repeat the run"),
        ({"schema_version": 3}, "schema version 3, expected 4; run vbench migrate "),
        ({"schema_version": 5}, "schema version 5, expected 4; update vbench"),
    ],
)
def test_a_run_that_cannot_be_resumed(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    run = unfinished(tmp_path / "run")
    edit(run, **changes)
    with pytest.raises(RunError) as caught:
        open_unfinished(run)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
