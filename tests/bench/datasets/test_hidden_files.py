"""Files that macOS and Windows add, and special files, in data sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.special_files import SPECIAL_FILES
from tests.videos import save_picture, save_video
from vbench.bench.datasets.ffn_lists import read_hmdb_split
from vbench.bench.datasets.folder import load
from vbench.errors import FrameError


def test_a_folder_without_the_files_that_systems_add(tmp_path: Path) -> None:
    save_video(tmp_path / "walk" / "a.MP4", frames=2)
    save_picture(tmp_path / "walk" / "b" / "f_1.JPG")
    for name in ("._walk", ".DS_Store", "Thumbs.db", "walk/._a.MP4", "walk/Thumbs.db", "walk/b/._f_1.JPG"):
        (tmp_path / name).write_bytes(b"\0\x05\x16\x07")
    (tmp_path / "__MACOSX" / "walk").mkdir(parents=True)
    dataset = load(tmp_path)
    assert dataset.class_names == ("walk",)
    assert [video.key for video in dataset.videos] == ["walk/a.MP4", "walk/b"]
    assert dataset.left_out == ()
    assert [len(video.open()) for video in dataset.videos] == [2, 1]


@pytest.mark.parametrize("kind", SPECIAL_FILES)
def test_a_special_file_is_an_error_of_its_video(tmp_path: Path, kind: str) -> None:
    save_video(tmp_path / "walk" / "a.mp4", frames=2)
    SPECIAL_FILES[kind](tmp_path / "walk" / "b.mp4")
    whole, special = load(tmp_path).videos
    assert len(whole.open()) == 2
    with pytest.raises(FrameError, match=f"it is {kind}"):
        special.open()


def test_a_split_without_the_files_that_systems_add(tmp_path: Path) -> None:
    (tmp_path / "walk_test_split1.txt").write_text("a.avi 2\n")
    (tmp_path / "._walk_test_split1.txt").write_bytes(b"\0\x05\x16\x07")
    rows, classes = read_hmdb_split(tmp_path, 1)
    assert [row.path for row in rows] == ["walk/a"]
    assert tuple(classes) == ("walk",)
