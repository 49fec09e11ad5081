from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vbench.bench.benchmark.clips import ClipSet, draw_clip, limited
from vbench.errors import DatasetError, UsageError
from vbench.runtime.bundle.bundle import Bundle, open_bundle
from vbench.runtime.bundle.manifest import FrameExitManifest


def test_a_demo_network_gets_the_data_set_with_its_classes(demo_bundle: Path) -> None:
    dataset = ClipSet().load(open_bundle(demo_bundle))
    assert dataset.name == "demo"
    assert dataset.videos[0].classes


def test_other_networks_get_generated_clips_without_labels(tiny_bundle: Bundle[FrameExitManifest]) -> None:
    dataset = ClipSet().load(tiny_bundle)
    assert dataset.name == "generated"
    assert not any(video.classes for video in dataset.videos)
    assert len(dataset.videos[0].open()) == 10


def test_generated_clips_depend_on_their_index_alone() -> None:
    assert np.array_equal(draw_clip(3, 4), draw_clip(3, 4))
    assert not np.array_equal(draw_clip(3, 4), draw_clip(4, 4))
    assert draw_clip(0, 4).shape == (4, 256, 320, 3)


def test_a_folder_of_clips_is_read_without_labels(tmp_path: Path, tiny_bundle: Bundle[FrameExitManifest]) -> None:
    for name in ("b", "a", ".hidden", "empty"):
        (tmp_path / name).mkdir()
    for name in ("a", "b", ".hidden"):
        Image.new("RGB", (8, 8)).save(tmp_path / name / "frame_0001.jpeg")
    (tmp_path / "notes.txt").write_text("not a clip")
    dataset = ClipSet(folder=tmp_path).load(tiny_bundle)
    assert [video.key for video in dataset.videos] == ["a", "b"]
    assert len(limited(dataset, 1).videos) == 1


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_folder_without_clips_is_one_line(tmp_path: Path, name: str, tiny_bundle: Bundle[FrameExitManifest]) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError):
        ClipSet(folder=tmp_path / name).load(tiny_bundle)


@pytest.mark.parametrize(
    "wrong",
    [ClipSet("demo", folder=Path("clips")), ClipSet(data=Path("data"), folder=Path("clips")), ClipSet(data=Path("d"))],
)
def test_contradictory_choices_are_one_line(wrong: ClipSet) -> None:
    with pytest.raises(UsageError):
        wrong.check()


def test_the_choice_survives_its_record() -> None:
    for choice in (ClipSet(), ClipSet("demo"), ClipSet("folder", Path("data")), ClipSet(folder=Path("clips"))):
        assert ClipSet.from_record(choice.record()) == choice
