"""A command whose videos all fail ends with exit code 4 and the first error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench.run.test_run import folder_config, interrupted
from tests.in_process import Vbench, in_process
from vbench.runtime.bundle.bundle import Bundle

CLASSES = ("bow", "clap", "jump", "run", "wave")


@pytest.fixture
def vbench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Vbench:
    return in_process(monkeypatch, capsys)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in CLASSES:
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "a.mp4").write_bytes(b"no video")
    return tmp_path / "data"


def said(run: Path) -> str:
    return f"vbench: none of the 5 videos of {run} has a prediction; the first, bow/a.mp4, failed: cannot open "


@pytest.mark.parametrize("options", [(), ("--json",), ("--trace",), ("--mode", "throughput", "--slots", "2")])
def test_run(vbench: Vbench, tiny_bundle: Bundle, data: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    run = tmp_path / "run"
    ended = vbench("run", tiny_bundle.path, "--dataset", "folder", "--data", data, "-o", run, *options)
    assert ended.code == 4
    assert ended.err.splitlines()[-1].startswith(said(run))
    record = json.loads((run / "run.json").read_text())
    assert (record["complete"], record["metrics"]["errors"]) == (True, 5)
    assert str(run) in ended.out
    if "--trace" in options:
        for command in (("sweep", run), ("tune", run, "--max-drop", "1")):
            assert vbench(*command).code == 2


def test_audit_stops_at_the_first_run(vbench: Vbench, tiny_bundle: Bundle, data: Path, tmp_path: Path) -> None:
    args = ("--engine", "ort", "--against", "torch", "--dataset", "folder", "--data", data, "-o", tmp_path / "audit")
    ended = vbench("audit", tiny_bundle.path, *args)
    assert ended.code == 4
    assert ended.err.splitlines()[-1].startswith(said(tmp_path / "audit" / "reference"))
    assert not (tmp_path / "audit" / "candidate").exists()


def test_resume(vbench: Vbench, tiny_bundle: Bundle, data: Path, tmp_path: Path) -> None:
    run = interrupted(folder_config(tiny_bundle, data), tmp_path / "run", 2)
    ended = vbench("run", "--resume", run)
    assert ended.code == 4
    assert ended.err.splitlines()[-1].startswith(said(run))


def test_the_option_for_changed_data_sets_needs_a_run(vbench: Vbench, tiny_bundle: Bundle) -> None:
    ended = vbench("run", tiny_bundle.path, "--allow-changed-dataset")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "add --resume RUN, or omit it" in ended.err
