"""Paths read from a file stay inside its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from vbench.paths import inside, is_plain


@pytest.mark.parametrize("path", ["a", "a/b.onnx", "a b/ü.bin", ".hidden", "..a/b..", "a" * 255])
def test_plain_paths(path: str, tmp_path: Path) -> None:
    assert is_plain(path)
    assert inside(tmp_path, path) == tmp_path / path


LONG = ("a" * 256, "ü" * 128, "a/" + "b" * 300)
OTHERS = ("", ".", "..", "/", "/a", "//a/b", "a/", "a//b", "../a", "a/..", "a/../../b", "\0", "a\0b", *LONG)
WINDOWS = ("a\\..\\b", "\\a", "c:a", "c:\\a")


@pytest.mark.parametrize("path", [*OTHERS, *WINDOWS])
def test_other_paths(path: str, tmp_path: Path) -> None:
    assert not is_plain(path)
    assert inside(tmp_path, path) is None


def test_links_do_not_lead_out(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "up").symlink_to("..")
    (folder / "loop").symlink_to("loop")
    (folder / "same").symlink_to(".")
    assert inside(folder, "up/x") is None
    assert inside(folder, "loop/x") is None
    assert inside(folder, "same/x") == folder / "same/x"
