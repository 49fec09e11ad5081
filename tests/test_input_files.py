"""Opening only regular files, and the names that are never frames or videos."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.special_files import SPECIAL_FILES
from vbench.errors import DatasetError, UsageError
from vbench.input_files import NotAFileError, has_extension, is_hidden, open_file, read_file, read_text


@pytest.mark.parametrize("kind", SPECIAL_FILES)
def test_special_files_are_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = SPECIAL_FILES[kind](tmp_path / "input")
    with pytest.raises(NotAFileError) as error:
        open_file(path)
    assert error.value.strerror == f"it is {kind}, not a file"


def test_folders_and_absent_files_raise_the_usual_errors(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        open_file(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_file(tmp_path / "absent")


def test_regular_files_and_links_to_them_are_read(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"a\r\nb\n")
    (tmp_path / "link").symlink_to("text")
    assert read_file(tmp_path / "link") == b"a\r\nb\n"
    assert read_text(tmp_path / "link") == "a\nb\n"


def test_hidden_names() -> None:
    assert all(map(is_hidden, ("._a.jpg", ".DS_Store", "Thumbs.db", "THUMBS.DB", "desktop.ini", "__MACOSX")))
    assert not any(map(is_hidden, ("a.jpg", "_a.jpg", "thumbs.jpg")))


def test_extensions_match_in_any_case() -> None:
    assert all(has_extension(name, (".mp4", ".jpg")) for name in ("a.mp4", "a.MP4", "a.b.Mp4", "a.jPG"))
    assert not any(has_extension(name, (".mp4", ".jpg")) for name in ("mp4", "a.mp4x", "a.jpg.txt"))


def _annotations(path: Path) -> object:
    from vbench.bench.datasets.annotations import read_lines

    return read_lines(path)


def _class_names(path: Path) -> object:
    from vbench.export.exporter import class_names

    return class_names(path, 2)


@pytest.mark.parametrize("read", [_annotations, _class_names])
def test_a_pipe_in_place_of_a_text_file_is_an_error(tmp_path: Path, read: Callable[[Path], object]) -> None:
    os.mkfifo(tmp_path / "input")
    with pytest.raises((UsageError, DatasetError), match=r"cannot (be )?read"):
        read(tmp_path / "input")
