"""Resuming: one process at a time, every video once, and a data set that has changed in the meantime."""

from __future__ import annotations

import json
import os
import resource
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.bench.run.test_run import folder_config, interrupted, predictions, same_answers, save_dataset
from vbench.bench.datasets.options import DataOptions
from vbench.bench.records.run_folder import RunConfig, RunFolder
from vbench.bench.run.run import Progress, Result, create_run, in_folder, resume_run, start_run
from vbench.bench.run.setup import RunSetup, set_up
from vbench.bench.run.variants import start_variants
from vbench.errors import MissingError, RunError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.networks.family import RunVariant
from vbench.runtime.policies.choice import PolicyChoice

VIDEOS = 10
DONE = 4


@pytest.fixture(scope="module")
def config(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    return folder_config(tiny_bundle, save_dataset(tmp_path_factory.mktemp("videos")))


@pytest.fixture(scope="module")
def whole(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return start_run(config, tmp_path_factory.mktemp("runs") / "whole", "")


@pytest.fixture
def data(config: RunConfig, tmp_path: Path) -> Path:
    """Copy the data set, to be changed."""
    assert config.data.data is not None
    return Path(shutil.copytree(config.data.data, tmp_path / "data"))


@pytest.fixture
def run(config: RunConfig, data: Path, tmp_path: Path) -> Path:
    """Return a run over ``data`` that has four of ten videos."""
    return interrupted(replace(config, data=DataOptions("folder", data)), tmp_path / "run", DONE)


def record(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "run.json").read_text())
    return content


def videos(run: Path) -> list[str]:
    found: list[str] = predictions(run)["video"].to_list()
    return found


def answers(run: Path) -> list[tuple[Any, ...]]:
    return predictions(run).select("video", "label", "prediction", "probability", "exit_step", "gmacs").rows()


# one process at a time


def test_a_run_that_is_being_written_cannot_be_resumed(config: RunConfig, whole: Result, tmp_path: Path) -> None:
    refused: list[str] = []

    def resume(progress: Progress) -> None:
        with pytest.raises(RunError) as caught:
            resume_run(progress.folder)
        refused.append(str(caught.value))

    start_run(config, tmp_path / "run", "", resume)
    assert len(refused) == VIDEOS
    assert refused[0].startswith(f"{tmp_path / 'run'} is being written to by process {os.getpid()} on ")
    same_answers(tmp_path / "run", whole.path)


def test_an_interruption_releases_the_lock(run: Path) -> None:
    assert sorted(path.name for path in run.iterdir()) == ["journal.jsonl", "planned.json", "run.json"]


def test_a_repeated_line_of_the_journal_counts_once(run: Path, whole: Result) -> None:
    journal = run / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join((*lines[:2], lines[1], *lines[2:])))
    assert resume_run(run).metrics["videos"] == VIDEOS
    assert videos(run) == videos(whole.path)


def test_a_line_of_another_video_is_refused(run: Path) -> None:
    line = json.loads((run / "journal.jsonl").read_bytes().splitlines()[0])
    with (run / "journal.jsonl").open("a") as journal:
        journal.write(json.dumps({**line, "video": "bow/7"}) + "\n")
    with pytest.raises(RunError, match="has a result for bow/7, which is not one of its videos"):
        resume_run(run)
    with pytest.raises(RunError, match="bow/7"):
        resume_run(run, allow_changed_dataset=True)


# a changed data set


def rename(folder: Path, name: str) -> None:
    folder.rename(folder.with_name(name))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: shutil.rmtree(data / "run" / "1"), "1 video is missing (run/1)"),
        (lambda data: shutil.rmtree(data / "bow" / "0"), "1 video is missing (bow/0)"),
        (lambda data: rename(data / "run" / "1", "2"), "1 video is missing (run/1), 1 video is new (run/2)"),
        (lambda data: shutil.copytree(data / "run" / "1", data / "run" / "2"), "1 video is new (run/2)"),
    ],
    ids=["missing", "missing, with a result", "renamed", "new"],
)
def test_a_changed_data_set_is_refused_unless_permitted(run: Path, data: Path, change: Any, words: str) -> None:
    change(data)
    with pytest.raises(RunError) as caught:
        resume_run(run)
    assert str(caught.value) == (
        f"the data set folder has changed since {run} was started: {words}; "
        "restore the data set, or add --allow-changed-dataset to finish with the remaining videos"
    )
    result = resume_run(run, allow_changed_dataset=True)
    kept = [video for video in planned() if (data / video).exists() or video in planned()[:DONE]]
    assert videos(run) == kept
    assert result.metrics["videos"] == record(run)["videos"] == len(kept)
    assert str(result.changes) == words
    assert record(run)["dataset_changes"] == {
        "removed": [video for video in planned() if not (data / video).exists()],
        "added": [video for video in ["run/2"] if (data / video).exists()],
    }
    lost = [left["video"] for left in record(run)["left_out"] if "removed from the data set" in left["reason"]]
    assert sorted(lost) == sorted(set(planned()) - set(kept))


def planned() -> list[str]:
    return [f"{name}/{video}" for name in ("bow", "clap", "jump", "run", "wave") for video in range(2)]


def test_permission_changes_nothing_for_an_unchanged_data_set(run: Path, whole: Result) -> None:
    resume_run(run, allow_changed_dataset=True)
    assert "dataset_changes" not in record(run)
    assert answers(run) == answers(whole.path)


def test_only_the_first_videos_count_with_a_limit(config: RunConfig, data: Path, tmp_path: Path) -> None:
    limited = replace(config, data=DataOptions("folder", data, limit=6))
    run = interrupted(limited, tmp_path / "limited", DONE)
    shutil.rmtree(data / "wave" / "1")
    assert resume_run(run).metrics["videos"] == 6


def test_other_labels_are_refused(run: Path) -> None:
    file = run / "planned.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "run/1": [0]}))
    for allowed in (False, True):
        with pytest.raises(RunError, match=r"1 video has different labels \(run/1\); restore the labels"):
            resume_run(run, allow_changed_dataset=allowed)


def test_a_run_of_an_earlier_version_resumes(run: Path, whole: Result) -> None:
    (run / "planned.json").unlink()
    resume_run(run)
    assert answers(run) == answers(whole.path)


# the start of a run


@pytest.mark.parametrize("room", [0, 100])
def test_a_disk_that_is_full_at_the_start_leaves_nothing(config: RunConfig, tmp_path: Path, room: int) -> None:
    setup, limits = set_up(config), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(MissingError, match=f"^cannot write {tmp_path / 'run'}: no space left on the disk"):
            create_run(setup, tmp_path / "run", "")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not any(tmp_path.iterdir())


def test_variants_are_created_all_or_none(config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def create(setup: RunSetup, path: Path, command: str, variant: str | None = None) -> RunFolder:
        if variant == "b":
            raise MissingError("no space left on the disk")
        return create_run(setup, path, command, variant)

    monkeypatch.setattr("vbench.bench.run.variants.create_run", create)
    variants = [RunVariant(name, PolicyChoice(first_threshold=0.9)) for name in "ab"]
    with pytest.raises(MissingError, match="no space left"):
        start_variants(config, variants, tmp_path / "runs", "", lambda _: pytest.fail("a run was started"))
    assert not any((tmp_path / "runs").iterdir())


def test_a_default_folder_that_another_process_creates_first(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    setup = set_up(config)
    tried: list[Path] = []

    def create(path: Path) -> RunFolder:
        tried.append(path)
        if len(tried) == 1:
            (path / "of another process").mkdir(parents=True)
        return create_run(setup, path, "")

    with in_folder(setup, None, create) as folder:
        assert folder.path == tried[1]
    assert len(list((tmp_path / "runs").iterdir())) == 2
