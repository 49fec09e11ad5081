"""Videos whose names are not UTF-8: the run finishes, and can be resumed, read, replayed, compared and explained."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.bench.run.test_run import content, folder_config, interrupted, predictions
from tests.in_process import in_process
from tests.videos import save_picture
from vbench.bench.compare.agreement import agreement
from vbench.bench.records.run_folder import RunConfig
from vbench.bench.run.run import resume_run, start_run
from vbench.runtime.bundle.bundle import Bundle

NAMES = [b"bow/caf\xe9", rb"bow/caf\xe9", "bow/café".encode(), b"b\xffw/0", b"clap/new\nline"]
CLASSES = [b"bow", b"b\xffw", b"clap", b"jump", b"run"]
KEYS = [r"b\xffw/0", r"bow/caf\x5cxe9", "bow/café", r"bow/caf\xe9", "clap/new\nline"]
BROKEN = r"bow/bad\xe9.mp4"


@pytest.fixture(scope="module")
def config(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    root = Path(os.fsdecode(os.fsencode(tmp_path_factory.mktemp("videos")) + b"/dat\xe9"))
    for name in CLASSES:
        (root / os.fsdecode(name)).mkdir(parents=True)
    for name in NAMES:
        for frame in range(10):
            save_picture(root / os.fsdecode(name) / f"{frame}.jpeg", level=20 * frame)
    (root / os.fsdecode(b"bow/bad\xe9.mp4")).write_bytes(b"no video")
    (root / os.fsdecode(b"bow/note\xe9.txt")).touch()
    return folder_config(tiny_bundle, root)


def test_every_video_has_a_row_under_its_own_key(config: RunConfig, tmp_path: Path) -> None:
    run = start_run(config, tmp_path / "run", "").path
    table = predictions(run)
    assert sorted(table["video"].to_list()) == sorted([*KEYS, BROKEN])
    failed = table.filter(table["error"].is_not_null())
    assert failed["video"].to_list() == [BROKEN]
    assert r"dat\xe9/bow/bad\xe9.mp4" in failed["error"][0]
    assert [left["video"] for left in content(run)["left_out"]] == [r"bow/note\xe9.txt"]


def test_an_interrupted_run_resumes(config: RunConfig, tmp_path: Path) -> None:
    run = interrupted(config, tmp_path / "run", 3)
    resume_run(run)
    whole = start_run(config, tmp_path / "whole", "").path
    assert predictions(run)["video"].to_list() == predictions(whole)["video"].to_list()
    assert agreement(run, whole).changed == 0


def test_commands(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    vbench = in_process(monkeypatch, capsys)
    assert config.data.data is not None
    run, sweep = tmp_path / os.fsdecode(b"run\xe9"), tmp_path / os.fsdecode(b"sweep\xe9.parquet")
    data = ("--dataset", "folder", "--data", config.data.data)
    ended = vbench("run", config.bundle, *data, "-o", tmp_path / "run", "--trace", "--json")
    assert ended.code == 0, ended.err
    (tmp_path / "run").rename(run)
    for command in (
        ("sweep", run, "--points", "3", "-o", sweep, "--json"),
        ("sweep", run, run, "--points", "3", "--json"),
        ("compare", run, run, "--json"),
        ("report", run, run, "-o", tmp_path / "report.html"),
    ):
        assert vbench(*command).code == 0, command
    policy = tmp_path / os.fsdecode(b"p\xe9.json")
    ended = vbench("tune", run, "--max-drop", "90", "--points", "3", "-o", policy, "--json")
    assert (ended.code, r"run\xe9: the network with" in ended.err) == (4, True)  # it is untrained
    for name in (os.fsdecode(b"bow/caf\xe9"), r"bow/caf\xe9"):
        args = ("explain", name, "--bundle", config.bundle, *data, "-o", tmp_path / os.fsdecode(b"f\xe9.png"), "--json")
        ended = vbench(*args)
        assert ended.code == 0, ended.err
        assert r'"video": "bow/caf\\xe9"' in ended.out
    path = config.data.data / os.fsdecode(NAMES[0])
    ended = vbench("explain", path, "--bundle", config.bundle, "-o", tmp_path / "film.png", "--json")
    assert ended.code == 0, ended.err
    assert r"dat\\xe9/bow/caf\\xe9" in ended.out
