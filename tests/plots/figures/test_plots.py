"""Figures: correct points, places and names, and one-line errors for bad runs."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from PIL import Image
from typer.testing import CliRunner

from vbench.bench.records.run_file import SCHEMA_VERSION
from vbench.cli.plot.plot import app
from vbench.errors import RunError, UsageError
from vbench.plots.figures.efficiency import efficiency_figure, plot_efficiency
from vbench.plots.figures.exits import exits_figure, plot_exits
from vbench.plots.figures.style import MARKERS, PALETTE
from vbench.plots.published.frameexit import published_overlay
from vbench.plots.runs.operating_point import OperatingPoint, operating_point
from vbench.plots.runs.timing import Timing
from vbench.runtime.policies.gates import FrameExitPolicy

POINT = OperatingPoint(
    label="frameexit first=0.95 gate=0.5",
    series="frameexit_r50, ort, minikinetics",
    dataset="minikinetics",
    metric="top1",
    accuracy=73.31,
    gflops_paper=19.7,
    gmacs=19.62,
    mean_frames=4.78,
    exit_counts=(4, 6, 5, 7, 3, 4, 1, 6, 2, 2),
    timing=Timing(videos=40),
)
RECORD: dict[str, Any] = {
    "schema_version": SCHEMA_VERSION,
    "complete": True,
    "bundle": {"name": "frameexit_r50", "network": "frameexit_resnet50"},
    "engine": "ort",
    "dataset": "minikinetics",
    "policy": {"kind": "frameexit", "first_threshold": 0.95, "gate_thresholds": [0.5] * 8},
    "policy_label": "frameexit first=0.95 gate=0.5",
    "step_frames": None,
    "metrics": {
        "metric": "top1",
        "accuracy": 73.31,
        "mean_frames": 4.78,
        "gflops_paper": 19.7,
        "gmacs": 19.62,
        "exit_histogram": [4, 6, 5, 7, 3, 4, 1, 6, 2, 2],
        "videos": 40,
        "errors": 0,
    },
}


def write_run(folder: Path, **changes: object) -> Path:
    """Write a run folder; ``changes`` override keys of ``metrics`` or of the record, where None removes the key."""
    metrics = {**RECORD["metrics"], **{key: value for key, value in changes.items() if key in RECORD["metrics"]}}
    rest = {key: value for key, value in changes.items() if key not in RECORD["metrics"]}
    record = {key: value for key, value in {**RECORD, "metrics": metrics, **rest}.items() if value is not None}
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def lines(figure: Any) -> dict[str, list[tuple[float, float]]]:
    return {line.get_label(): list(map(tuple, line.get_xydata().tolist())) for line in figure.axes[0].lines}


def test_a_run_is_read_completely(tmp_path: Path) -> None:
    assert operating_point(write_run(tmp_path / "run")) == POINT


def test_a_run_without_policy_or_paper_gflops(tmp_path: Path) -> None:
    point = operating_point(write_run(tmp_path / "20260101-demo", policy=None, policy_label=None, gflops_paper=None))
    assert point == replace(POINT, label="20260101-demo", gflops_paper=None)


def test_different_policies_have_different_labels(tmp_path: Path) -> None:
    for name, gates, label in (("a", (0.5, 0.25, 0.75), "gate=0.25..0.75"), ("b", (0.5,), "gate=0.5")):
        run = write_run(tmp_path / name, policy_label=FrameExitPolicy(0.9, gates).label())
        assert operating_point(run).label == f"frameexit first=0.9 {label}"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema_version": 1}, "schema version 1, expected 4"),
        ({"schema_version": None}, "schema version None"),
        ({"complete": False}, "did not finish"),
        ({"complete": None}, "did not finish"),
        ({"accuracy": None}, "has no accuracy"),
        ({"accuracy": float("nan")}, "run.json is not valid JSON (it contains NaN)"),
        ({"accuracy": "73"}, "metrics.accuracy is '73', not a number"),
        ({"gmacs": None}, "metrics.gmacs is None"),
        ({"gmacs": True}, "metrics.gmacs is True"),
        ({"mean_frames": float("inf")}, "run.json is not valid JSON (it contains Infinity)"),
        ({"gflops_paper": "19"}, "metrics.gflops_paper is '19'"),
        ({"metric": "f1"}, "unknown metric 'f1'"),
        ({"metric": None}, "unknown metric None"),
        ({"exit_histogram": [1, "2"]}, "metrics.exit_histogram holds a value that is not a count"),
        ({"exit_histogram": 5}, "metrics.exit_histogram is an integer, not a list"),
        ({"bundle": "r50"}, "bundle is a string, not an object"),
        ({"engine": None}, "engine is missing, not a string"),
        ({"metrics": []}, "metrics is a list, not an object"),
    ],
)
def test_invalid_records_are_rejected(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    refused(write_run(tmp_path / "run", **changes), words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not valid JSON"),
        (b'{"schema_version": 1', "not valid JSON"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (b"[1]", "holds a list, not an object"),
    ],
)
def test_a_truncated_record_is_rejected(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "run.json").write_bytes(content)
    refused(tmp_path, words)


def test_no_folder_and_no_record(tmp_path: Path) -> None:
    refused(tmp_path / "none", "does not exist")
    refused(tmp_path, "has no run.json")


def refused(run: Path, words: str) -> None:
    with pytest.raises(RunError) as caught:
        operating_point(run)
    text = str(caught.value)
    assert words in text
    assert "\n" not in text
    assert text.startswith((str(run), f"run folder {run} "))


def test_one_line_per_series_in_order_of_compute() -> None:
    other = replace(POINT, series="frameexit_r50, trt, minikinetics")
    points = [replace(POINT, gflops_paper=x, accuracy=y) for x, y in ((30.0, 75.0), (10.0, 70.0), (20.0, 73.0))]
    drawn = lines(efficiency_figure([points[0], other, *points[1:]]))
    assert drawn == {POINT.series: [(10.0, 70.0), (20.0, 73.0), (30.0, 75.0)], other.series: [(19.7, 73.31)]}


@pytest.mark.parametrize(
    ("x", "place", "label"),
    [
        ("auto", 19.7, "GFLOPs as counted in the paper (MACs, 4.12 per frame)"),
        ("gflops_paper", 19.7, "GFLOPs as counted in the paper (MACs, 4.12 per frame)"),
        ("gmacs", 19.62, "GMACs counted over all parts executed"),
        ("frames", 4.78, "Mean frames per video"),
    ],
)
def test_the_axis_label_names_the_quantity(x: Any, place: float, label: str) -> None:
    figure = efficiency_figure([POINT], x=x)
    assert lines(figure)[POINT.series] == [(place, 73.31)]
    assert figure.axes[0].get_xlabel() == label
    assert figure.axes[0].get_ylabel() == "Top-1 accuracy (%)"


def test_auto_selects_the_count_that_every_run_has() -> None:
    figure = efficiency_figure([POINT, replace(POINT, series="demo", gflops_paper=None, gmacs=0.02)])
    assert figure.axes[0].get_xlabel() == "GMACs counted over all parts executed"
    assert figure.axes[0].get_xscale() == "log"
    with pytest.raises(UsageError, match="--x gmacs"):
        efficiency_figure([replace(POINT, gflops_paper=None)], x="gflops_paper")


def test_two_metrics_have_separate_lines() -> None:
    figure = efficiency_figure([POINT, replace(POINT, metric="map", accuracy=76.0)])
    assert set(lines(figure)) == {f"{POINT.series} (top-1)", f"{POINT.series} (mAP)"}
    assert figure.axes[0].get_ylabel() == "Accuracy (%)"


def test_42_series_differ_in_color_and_marker() -> None:
    figure = efficiency_figure([replace(POINT, series=f"net{number:02d}") for number in range(42)])
    styles = {(line.get_color(), str(line.get_marker())) for line in figure.axes[0].lines}
    assert len(styles) == 42 == len(PALETTE) * len(MARKERS)


def test_the_accuracy_axis_ends_at_one_hundred() -> None:
    low, high = efficiency_figure([replace(POINT, accuracy=100.0)]).axes[0].get_ylim()
    assert low < 99
    assert 100 < high <= 101


def test_exits_in_percent_with_the_mean() -> None:
    panel: Any = exits_figure([POINT]).axes[0]
    assert [bar.get_height() for bar in panel.patches] == [10.0, 15.0, 12.5, 17.5, 7.5, 10.0, 2.5, 15.0, 5.0, 5.0]
    assert list(panel.lines[0].get_xdata()) == pytest.approx([4.775, 4.775])
    assert "mean 4.78" in panel.get_title()
    assert [int(tick) for tick in panel.get_xticks()] == list(range(1, 11))


def test_one_panel_per_run() -> None:
    figure = exits_figure([POINT, replace(POINT, exit_counts=(1, 1)), replace(POINT, exit_counts=(1,) * 16)] * 2)
    assert len(figure.axes) == 6
    assert len(exits_figure([POINT] * 10).axes) == 10


def test_nothing_to_plot() -> None:
    with pytest.raises(UsageError):
        efficiency_figure([])
    with pytest.raises(UsageError):
        exits_figure([])
    with pytest.raises(UsageError, match="the run has no videos with an exit step"):
        exits_figure([replace(POINT, exit_counts=(0, 0))])


@pytest.mark.parametrize("name", ["curve", "curve.png", "curve.svg", "curve.pdf", "curve.PNG"])
def test_png_svg_and_pdf_are_complete(tmp_path: Path, name: str) -> None:
    before = dict(matplotlib.rcParams)
    paths = plot_efficiency([POINT], tmp_path / "new" / name, published=published_overlay("activitynet"))
    assert paths == [tmp_path / "new" / f"curve.{kind}" for kind in ("png", "svg", "pdf")]
    assert sorted(tmp_path.joinpath("new").iterdir()) == sorted(paths)
    with Image.open(paths[0]) as picture:
        assert min(picture.size) > 600
        assert len(picture.convert("RGB").getcolors(maxcolors=1 << 20) or []) > 20
    drawing = paths[1].read_text()
    assert "frameexit_r50, ort, minikinetics (top-1)" in drawing
    assert "Published on ActivityNet (mAP) in FrameExit (CVPR 2021)" in drawing
    print_version = paths[2].read_bytes()
    assert print_version.startswith(b"%PDF")
    assert print_version.rstrip().endswith(b"%%EOF")
    assert b"/FontFile2" in print_version
    assert not any(word in print_version for word in (b"/Type3", b"CreationDate"))
    assert dict(matplotlib.rcParams) == before


def test_equal_runs_give_equal_drawings(tmp_path: Path) -> None:
    first, second = (plot_exits([POINT], tmp_path / name) for name in ("a", "b"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_a_dot_in_the_name_is_kept_and_other_formats_are_refused(tmp_path: Path) -> None:
    names = [path.name for path in plot_exits([POINT], tmp_path / "exits_0.95")]
    assert names == ["exits_0.95.png", "exits_0.95.svg", "exits_0.95.pdf"]
    with pytest.raises(UsageError, match="PNG, SVG and PDF, not eps"):
        plot_exits([POINT], tmp_path / "exits.eps")


def test_an_unwritable_path_leaves_no_files_behind(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write"):
        plot_exits([POINT], tmp_path / "file" / "exits.png")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("command", [["efficiency", "--published", "hvu", "--x", "frames"], ["exits"]])
def test_the_command_prints_the_written_paths(tmp_path: Path, command: list[str]) -> None:
    runs = [str(write_run(tmp_path / name)) for name in ("one", "two")]
    result = CliRunner().invoke(app, [*command, *runs, "-o", str(tmp_path / "out.png")], catch_exceptions=False)
    assert result.exit_code == 0
    assert result.stdout.split() == [str(tmp_path / f"out.{kind}") for kind in ("png", "svg", "pdf")]


def test_the_command_propagates_vbench_errors(tmp_path: Path) -> None:
    with pytest.raises(RunError):
        CliRunner().invoke(app, ["efficiency", str(tmp_path / "none")], catch_exceptions=False)


@pytest.mark.parametrize("command", ["efficiency", "exits", "latency", "steps", "speedup"])
def test_help_has_an_example(command: str) -> None:
    assert f"Example: vbench plot {command}" in CliRunner().invoke(app, [command, "--help"]).stdout


def test_the_command_line_loads_without_matplotlib() -> None:
    code = "import sys, vbench.cli.plot.plot; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
