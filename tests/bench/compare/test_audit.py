"""Audits: changes due to another engine or precision are found, counted and reported."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import polars
import pytest

from tests.bench.run.test_run import BROKEN, save_dataset
from tests.cli.test_cli import assert_fails, vbench
from tests.configs import changed, run_config
from vbench.bench.compare.agreement import Agreement, agreement, distribution, margins
from vbench.bench.compare.audit import Audit, AuditedPair, AuditedRun
from vbench.bench.compare.audit_record import record_finding
from vbench.bench.run.run import start_run
from vbench.cli.audit import audit as audit_command
from vbench.errors import CheckError, UsageError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.engines.options import EngineOptions
from vbench.runtime.measurements.store import MeasurementStore
from vbench.runtime.policies.gates import FrameExitPolicy


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_dataset(tmp_path_factory.mktemp("videos"))


def test_engines_of_the_same_bundle(tiny_bundle: Bundle, data: Path, tmp_path: Path) -> None:
    args = ["audit", tiny_bundle.path, "--dataset", "folder", "--data", data]
    ended = vbench(*args, "-o", tmp_path / "audit", "--max-changed", "0", "--json")
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert (found["reference"]["engine"], found["candidate"]["engine"]) == ("torch", "ort")
    assert found["reference"]["accuracy"] == found["candidate"]["accuracy"]
    assert found["reference"]["gmacs"] == found["candidate"]["gmacs"] > 0
    assert found["reference"]["errors"] == 1
    assert found["changed_percent"] == 0
    same = found["agreement"]
    assert (same["videos"], same["other_class"], same["other_exit_step"], same["exit_step_changes"]) == (10, 0, 0, {})
    assert 0 <= same["score_differences"]["largest"] < 1e-5
    assert found["candidate"]["margins"]["count"] == same["score_differences"]["count"] > 9
    text = vbench(*args, "-o", tmp_path / "words")
    assert "10 videos: 0 changed class, 0 changed exit step" in text.stdout
    assert str(tmp_path / "words" / "candidate") in text.stdout


def test_changes_are_counted(tiny_bundle: Bundle, data: Path, tmp_path: Path) -> None:
    """Another first threshold changes the exit steps."""
    config = run_config(tiny_bundle, dataset="folder", data=data, first_threshold=1.0)
    one = start_run(config, tmp_path / "one", "").path
    other = start_run(changed(config, first_threshold=0.0), tmp_path / "other", "").path
    found = agreement(one, other)
    steps = {run: polars.read_parquet(run / "predictions.parquet")["exit_step"].drop_nulls() for run in (one, other)}
    differences = (steps[other] - steps[one]).to_list()
    assert (steps[other] == 1).all()
    labels = {run: polars.read_parquet(run / "predictions.parquet")["prediction"] for run in (one, other)}
    classes = [a != b for a, b in zip(labels[one].drop_nulls(), labels[other].drop_nulls())]
    assert found.other_class == sum(classes)
    assert found.changed == sum(d != 0 or c for d, c in zip(differences, classes))
    assert found.other_exit_step == sum(found.exit_step_changes.values()) == sum(d != 0 for d in differences) > 0
    assert found.exit_step_changes == {d: differences.count(d) for d in sorted(set(differences)) if d}


def test_another_precision_changes_values(tiny_quantized_bundle: Bundle, data: Path, tmp_path: Path) -> None:
    args = ["audit", tiny_quantized_bundle.path, "--precision", "int8", "--against", "ort", "--first-threshold", "0.9"]
    ended = vbench(*args, "--dataset", "folder", "--data", data, "-o", tmp_path / "audit", "--json")
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert (found["candidate"]["precision"], found["reference"]["precision"]) == ("int8", "fp32")
    assert found["agreement"]["score_differences"]["largest"] > 1e-5
    changed_percent = f"{found['changed_percent']:.2f}"
    noted = f"recorded for --precision auto: ort int8 changed {changed_percent} % of 10 videos"
    assert noted in ended.stderr.splitlines()
    entry = MeasurementStore(tiny_quantized_bundle).entries("audits")[-1]
    assert (entry["videos"], entry["changed_percent"]) == (10, found["changed_percent"])
    assert entry["measured_on"]["dataset"]["name"] == "folder"
    assert entry["measured_on"]["dataset"]["policy"]["first_threshold"] == 0.9


def test_only_lower_precisions_on_the_cpu_are_recorded(
    tiny_bundle: Bundle, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start_run(run_config(tiny_bundle, dataset="folder", data=data), tmp_path / "run", "").path
    exact = AuditedRun(str(run), "ort", "fp32", None, "top1", 50.0, 1.0, 2.0, 3.0, 0, distribution(np.array([0.5])))
    bf16 = replace(exact, engine="openvino", precision="bf16")
    assert record_finding(replace(bf16, device="cuda"), exact, 0.5, tiny_bundle.path) == ""
    assert record_finding(exact, bf16, 0.5, tiny_bundle.path) == ""
    assert record_finding(bf16, bf16, 0.5, tiny_bundle.path) == ""
    expected = "recorded for --precision auto: openvino bf16 changed 0.50 % of 10 videos"
    assert record_finding(bf16, exact, 0.5, tiny_bundle.path) == expected
    monkeypatch.setattr(MeasurementStore, "put", lambda *_: False)
    expected = f"not recorded for --precision auto: {tiny_bundle.path} is not writable"
    assert record_finding(bf16, exact, 0.5, tiny_bundle.path) == expected


@pytest.mark.parametrize(
    ("precision", "layers", "recorded"),
    [
        ("int8", "u8: 54", True),
        ("int8", "f32: 1, i8: 53", True),
        ("int8", "f32: 54", False),
        ("bf16", "bf16: 13, f32: 30", True),
        ("bf16", "f32: 17", False),
    ],
)
def test_an_audit_counts_only_if_a_layer_ran_in_the_precision(
    tiny_bundle: Bundle, data: Path, tmp_path: Path, precision: str, layers: str, recorded: bool
) -> None:
    run = start_run(run_config(tiny_bundle, dataset="folder", data=data), tmp_path / "run", "").path
    content = json.loads((run / "run.json").read_text())
    content["engine_details"]["layers"] = layers
    (run / "run.json").write_text(json.dumps(content))
    exact = AuditedRun(str(run), "ort", "fp32", None, "top1", 50.0, 1.0, 2.0, 3.0, 0, distribution(np.array([0.5])))
    note = record_finding(replace(exact, engine="openvino", precision=precision), exact, 0.5, tiny_bundle.path)
    assert note.startswith(
        "recorded for" if recorded else "not recorded for --precision auto: openvino ran no layer in"
    )


def test_too_many_changes(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    side = AuditedRun("run", "ort", "int8", None, "top1", 50.0, 1.0, 2.0, 3.0, 0, distribution(np.array([0.5])))
    changed = Agreement(200, 1, 3, 3, {-2: 1, 1: 2}, 0.5, distribution(np.array([0.1, 0.2])))
    monkeypatch.setattr("vbench.bench.compare.audit.audit", lambda *_: Audit((AuditedPair(None, side, side, changed),)))
    run = partial(audit_command, tiny_bundle.path, gate_thresholds=None, out=Path("somewhere"))
    run(max_changed=1.5)
    assert "200 videos: 1 changed class, 3 changed exit step (1 by -2, 2 by +1)" in capsys.readouterr().out
    with pytest.raises(CheckError, match=r"^1.50 % of the videos changed, exceeding --max-changed 1.4; see the runs"):
        run(max_changed=1.4)


def test_margins(tiny_bundle: Bundle, data: Path, tmp_path: Path) -> None:
    policy = FrameExitPolicy(0.9, tuple(0.1 * gate for gate in range(1, 9)))
    config = run_config(
        tiny_bundle, dataset="folder", data=data, first_threshold=0.9, gate_thresholds=policy.gate_thresholds
    )
    run = start_run(config, tmp_path / "run", "").path
    rows = polars.read_parquet(run / "predictions.parquet").filter(polars.col("video") != BROKEN)
    wanted = []
    for step, scores in rows.select(["exit_step", "scores"]).iter_rows():
        for number, score in enumerate(scores, start=1):
            threshold = policy.threshold_at(number)
            assert threshold is not None
            assert (score > threshold) == (number == step), "the scores tell where it stopped"
            wanted.append(abs(score - threshold))
    found = margins(run, policy)
    assert found.count == len(wanted)
    assert found.p50 == pytest.approx(np.median(wanted))
    assert found.largest == max(wanted)


def test_thresholds_of_a_policy() -> None:
    assert [FrameExitPolicy(0.9, (0.4,)).threshold_at(step) for step in (1, 2, 9)] == [0.9, 0.4, 0.4]


def test_distribution_of_nothing_and_of_nan() -> None:
    assert distribution(np.array([])).count == 0
    assert distribution(np.array([])).p50 is None
    assert np.isnan(distribution(np.array([0.5, np.nan])).largest)


def test_an_audit_names_its_engine_and_precision(tiny_bundle: Bundle) -> None:
    words = "--precision auto names no precision to audit; choose one, such as fp32 or int8"
    assert_fails(vbench("audit", tiny_bundle.path, "--precision", "auto"), 2, words)
    assert_fails(vbench("audit", tiny_bundle.path, "--engine", "auto"), 2, "unknown engine 'auto'; choose one of ort, ")
    compared = words.replace("to audit", "to compare with")
    assert_fails(vbench("audit", tiny_bundle.path, "--against-precision", "auto"), 2, compared)
    words = words.replace("audit", "build")
    assert_fails(vbench("build", tiny_bundle.path, "--precision", "auto"), 2, words)


def test_against_itself(tiny_bundle: Bundle, tmp_path: Path) -> None:
    from contextlib import nullcontext

    from vbench.bench.compare.audit import audit

    config = run_config(tiny_bundle)
    with pytest.raises(UsageError, match="the reference and the candidate both use ort fp32"):
        audit(config, EngineOptions(), tmp_path, "", lambda _: nullcontext(lambda _: None))
    assert_fails(
        vbench("audit", tiny_bundle.path, "--against", "ort"), 2, "the reference and the candidate both use ort fp32"
    )
