"""Warnings from other packages that vbench replaces with its own errors, or that a user can do nothing about."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from tests.in_process import in_process


def test_pillows_remark_on_a_large_picture_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        assert in_process(monkeypatch, capsys)("inspect", tmp_path / "absent.pth").code == 2
        warnings.warn("Image size (100000000 pixels) exceeds limit of 89478485 pixels, could be ...", stacklevel=1)
        warnings.warn("another remark", stacklevel=1)
    assert [str(remark.message) for remark in shown] == ["another remark"]


def test_matplotlibs_remark_on_a_character_that_its_font_lacks_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        assert in_process(monkeypatch, capsys)("inspect", tmp_path / "absent.pth").code == 2
        figure = Figure()
        figure.text(0.5, 0.5, "\N{CLAPPER BOARD}.mp4")
        figure.savefig(tmp_path / "named.png")
    assert [str(remark.message) for remark in shown] == []
