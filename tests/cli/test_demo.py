"""``vbench demo`` runs the full workflow and prints the expected results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars
import pytest

pytestmark = pytest.mark.slow  # a fixture runs the whole demo
MAIN = [sys.executable, "-c", "from vbench.cli.main import main; main()"]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run([*MAIN, "demo"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "vbench-demo", done.stdout


def test_engines_agree_on_every_video(shown: tuple[Path, str]) -> None:
    assert "FrameExit: 400 videos by PyTorch and by ONNX Runtime: 0 other classes, 0 other exit steps" in shown[1]
    assert "400 videos at 4, 8, 16 frames by PyTorch and by ONNX Runtime: 0 other classes" in shown[1]


def test_early_exit_saves_compute_with_little_loss(shown: tuple[Path, str]) -> None:
    runs = shown[0] / "runs"
    early, full = (json.loads((runs / name / "run.json").read_text())["metrics"] for name in ("ort", "trace"))
    assert full["exit_histogram"] == [0] * 9 + [400]
    assert early["gmacs"] < 0.6 * full["gmacs"]
    assert early["accuracy"] > full["accuracy"] - 2


def test_easy_videos_exit_early_and_hard_ones_late(shown: tuple[Path, str]) -> None:
    steps = polars.read_parquet(shown[0] / "runs" / "ort" / "predictions.parquet")["exit_step"]
    assert (steps == 1).sum() > 20
    assert (steps > 5).sum() > 20


def accuracy(shown: tuple[Path, str], run: str) -> float:
    return float(json.loads((shown[0] / "runs" / run / "run.json").read_text())["metrics"]["accuracy"])


def test_one_network_serves_every_frame_count(shown: tuple[Path, str]) -> None:
    flexible, largest = (
        [accuracy(shown, f"{name}/frames_{count:02d}") for count in (4, 8, 16)] for name in ("tsm_ffn_ort", "tsm_16")
    )
    assert flexible == sorted(flexible)
    assert flexible[2] - flexible[0] > 20
    assert flexible[0] - largest[0] > 5
    assert flexible[1] - largest[1] > 2
    assert abs(flexible[2] - largest[2]) < 2


def test_a_cascade_saves_compute_with_little_loss(shown: tuple[Path, str]) -> None:
    cascade, full = (
        json.loads((shown[0] / "runs" / run / "run.json").read_text())["metrics"]
        for run in ("cascade", "tsm_ffn_ort/frames_16")
    )
    assert cascade["gmacs"] < 0.8 * full["gmacs"]
    assert cascade["accuracy"] > full["accuracy"] - 1


def test_figures_are_written_and_listed(shown: tuple[Path, str]) -> None:
    for name in ("efficiency", "exits", "film", "frames"):
        for suffix in (".png", ".svg", ".pdf"):
            assert (shown[0] / f"{name}{suffix}").stat().st_size > 1000
        assert f"vbench-demo/{name}.png" in shown[1]


def test_the_last_line_is_the_report(shown: tuple[Path, str]) -> None:
    assert shown[1].splitlines()[-1] == "vbench-demo/report.html"
    page = (shown[0] / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") >= 6
    assert "96.8" in page


def test_the_replay_matches_the_run(shown: tuple[Path, str]) -> None:
    assert "of the 400 videos of a real run the replay differs in 0" in shown[1]


def test_a_foreign_folder_is_left_untouched(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    done = subprocess.run([*MAIN, "demo", "--out", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert (tmp_path / "precious.txt").read_text() == "mine"
    assert len(done.stderr.strip().splitlines()) == 1
