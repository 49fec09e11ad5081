"""``python -m tools.startup``: the phases of new processes, for each engine."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.bench.run.test_run import save_dataset
from tools.startup import main
from vbench.runtime.bundle.bundle import Bundle


def test_load_and_run(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ("--dataset", "folder", "--data", str(save_dataset(tmp_path / "data")))
    arguments = ["startup", str(tiny_bundle.path), "--engine", "ort", "--repeats", "1", *data]
    monkeypatch.setattr(sys, "argv", arguments)
    main()
    load, run = capsys.readouterr().out.splitlines()
    seconds = r"\d+\.\d\d"
    total = rf"{seconds} s \({seconds} to {seconds}\)"
    assert re.match(rf"load, ort: {total}: python {seconds}, imports {seconds}, .*engine {seconds}", load)
    assert re.match(rf"run, ort: {total}: python {seconds}, imports {seconds}, .*warm-up {seconds}", run)
