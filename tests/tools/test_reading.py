"""The measurement of reading: its worker on a small network, and its table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.videos import save_moving, save_picture
from tools.reading import __main__ as reading
from tools.reading.data import SOURCES
from tools.reading.report import report
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.bundle.manifest import FrameExitManifest


@pytest.fixture
def task(tiny_bundle: Bundle[FrameExitManifest], tmp_path: Path) -> dict[str, Any]:
    np.save(tmp_path / "0.npy", np.zeros((10, 3, 32, 32), np.float32))
    for number in range(10):
        save_picture(tmp_path / "images" / f"{number}.jpeg", level=number)
    paths = (tmp_path / "0.npy", tmp_path / "images", save_moving(tmp_path / "0.mp4"))
    clips = {source: [str(path)] * 3 for source, path in zip(SOURCES, paths, strict=True)}
    return {"bundle": str(tiny_bundle.path), "engine": "ort", "precision": "fp32", "clips": clips}


def test_workers_take_turns(task: dict[str, Any]) -> None:
    contenders = [reading.Contender(reading.ROOT, 1, 2), reading.Contender(reading.ROOT)]
    names = [str(each) for each in contenders]
    with reading._worker(contenders[0], dict(task)) as first, reading._worker(contenders[1], dict(task)) as second:
        turns = reading.measure([first, second], names, 2)
    assert set(turns) == {(source, name) for source in SOURCES for name in names}
    for (source, _), measured in turns.items():
        assert len(measured) == 2
        assert all(turn["ms"] > 0 and len(turn["answers"]) == 3 for turn in measured)
        assert measured[0]["answers"] == turns[source, names[0]][0]["answers"]


def test_a_contender_that_fails(task: dict[str, Any]) -> None:
    task["bundle"] = "nowhere"
    with pytest.raises(SystemExit, match="a contender failed"), reading._worker(reading.Contender(reading.ROOT), task):
        pass


def test_the_table_compares_sources_and_contenders() -> None:
    def turns(milliseconds: float, label: int) -> list[dict[str, Any]]:
        turn = {"ms": milliseconds, "cpu_ms": 2 * milliseconds, "memory_mb": 500.0, "answers": [[label, 1], [0, 3]]}
        return [turn, {**turn, "ms": 1.01 * milliseconds}]

    times = {("new", 0): 10.0, ("new", 1): 12.5, ("new", 2): 20.0, ("old", 0): 10.0, ("old", 1): 15.0, ("old", 2): 40.0}
    measured = {(SOURCES[number], name): turns(ms, name == "old") for (name, number), ms in times.items()}
    text = report(measured, "ort", "int8", "load average 0.1")
    assert text.startswith("ort int8 on ")
    assert "; load average 0.1; 2 repetitions." in text
    rows = text.splitlines()[4:]
    assert rows[0].startswith("| pixels | new | 10.1 | 20.0 |  | 1.00 (1.00 to 1.00) | 1 of 2 changed | 500 |")
    assert rows[2].startswith("| JPEG folders | new | 12.6 | 25.0 | 0.80 (0.80 to 0.80) | 1.20 (1.20 to 1.20) | 1 of 2")
    assert rows[5].startswith("| H.264 | old | 40.2 | 80.0 | 0.25 (0.25 to 0.25) |  |  | 500 |")
