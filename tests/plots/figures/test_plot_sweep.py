"""The sweep figure: one envelope per family, separate bounds, and one-line errors for bad input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.replay import random_trace
from vbench.bench.stats.intervals import Interval
from vbench.bench.sweep.operating_points import Point, ReplaySource
from vbench.bench.sweep.sweep import sweep
from vbench.bench.sweep.sweep_file import SWEEP, Sweep, make_sweep, write_sweep
from vbench.bench.trace.step_times import trace_step_times
from vbench.cli.plot.plot import app
from vbench.errors import RunError, UsageError
from vbench.plots.figures.sweep import plot_sweep, sweep_figure
from vbench.plots.figures.sweep_styles import DEFAULT, ORACLE, STYLES
from vbench.plots.published.frameexit import published_overlay

FRAMEEXIT = ("gates", "searched", "confidence", "entropy", "patience", "fixed", "random")
BAND = "95 % interval of the Pareto front"


def random_sweep(seed: int, metric: str = "top1") -> Sweep:
    trace = random_trace(60, steps=5, seed=seed, metric=metric)
    trace = replace(trace, header=replace(trace.header, bundle=f"net_{seed}"))
    sources = [ReplaySource(f"run{seed}", trace, trace_step_times(trace, ""))]
    return make_sweep(sources, sweep(sources, None, 16))


@pytest.fixture(scope="module")
def one() -> Sweep:
    return random_sweep(0)


def point(family: str, gmacs: float, accuracy: float | None, **changes: Any) -> Point:
    interval = None if accuracy is None else Interval(accuracy - 2, accuracy + 2)
    known = Point("run", "net", family, {}, accuracy, interval, None, gmacs, 5.0, (1,), 7.0, 9.0, False, True)
    return replace(known, **changes)


def swept(*points: Point, **changes: Any) -> Sweep:
    return replace(Sweep("folder", "top1", {"run": 50}, {"run": "ort"}, {"run": "run"}, points), **changes)


def lines(figure: Any) -> dict[str, Any]:
    return {line.get_label(): line for line in figure.axes[0].lines}


def places(line: Any) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in line.get_xydata()]


def test_every_family_has_a_line_and_bounds_are_separate(one: Sweep) -> None:
    figure = sweep_figure([one])
    expected = [*(STYLES[name].label for name in FRAMEEXIT), DEFAULT.label, ORACLE.label]
    assert list(lines(figure)) == expected
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [*expected, BAND]
    assert "oracle (not runnable)" in expected
    assert "one threshold each (searched on these videos)" in expected
    assert len(places(lines(figure)[ORACLE.label])) == 1
    assert figure.axes[0].get_title() == "net_0; ort; replayed on 60 videos of folder"
    assert figure.axes[0].get_ylabel() == "Top-1 accuracy (%)"


def test_a_line_joins_the_pareto_front_of_its_family() -> None:
    gates = [point("gates", *place) for place in ((3.0, 80.0), (1.0, 60.0), (2.0, 55.0), (2.5, 80.0), (2.2, None))]
    better = point("entropy", 1.0, 90.0)
    figure = sweep_figure([swept(*gates, better)])
    assert places(lines(figure)[STYLES["gates"].label]) == [(1.0, 60.0), (2.5, 80.0)]
    assert places(lines(figure)[STYLES["entropy"].label]) == [(1.0, 90.0)]
    (band,) = [shape for shape in figure.axes[0].collections if shape.get_label() == BAND]
    assert band.get_paths()[0].get_extents().intervaly.tolist() == [88.0, 92.0]


def test_the_oracle_is_in_no_front_and_random_is_gray_and_dashed() -> None:
    oracle = point("oracle", 1.0, 99.0, runnable=False)
    figure = sweep_figure([swept(oracle, point("gates", 2.0, 70.0), point("random", 2.0, 50.0))])
    (band,) = [shape for shape in figure.axes[0].collections if shape.get_label() == BAND]
    assert band.get_paths()[0].get_extents().intervaly.tolist() == [68.0, 72.0]
    random = lines(figure)[STYLES["random"].label]
    assert (random.get_color(), random.get_linestyle()) == ("#808080", "--")


def test_families_differ_in_color_marker_and_stroke() -> None:
    looks = [STYLES[name] for name in FRAMEEXIT]
    for name in ("color", "marker", "stroke", "label"):
        assert len({getattr(look, name) for look in looks}) == len(looks), name


def test_few_markers_on_a_line_of_many_points() -> None:
    figure = sweep_figure([swept(*(point("gates", 1.0 + step, 50.0 + step / 10) for step in range(300)))])
    line = lines(figure)[STYLES["gates"].label]
    marked: Any = line.get_markevery()
    assert len(line.get_xydata()) == 300
    assert len(marked) < 12
    assert {0, 299} <= set(marked)


def test_several_sweeps_share_one_set_of_families(one: Sweep) -> None:
    other = random_sweep(1)
    both, alone = sweep_figure([one, other]), sweep_figure([one])
    assert list(lines(both)) == list(lines(alone))
    best = max(point.accuracy or 0 for found in (one, other) for point in found.points if point.family == "gates")
    assert max(y for _, y in places(lines(both)[STYLES["gates"].label])) == best
    assert len(places(lines(both)[DEFAULT.label])) == 2
    assert both.axes[0].get_title().startswith("net_0, net_1; ort;")


@pytest.mark.parametrize(
    ("x", "field", "label"),
    [
        ("auto", "gflops_paper", "GFLOPs as counted in the paper (MACs, 4.12 per frame)"),
        ("gflops_paper", "gflops_paper", "GFLOPs as counted in the paper (MACs, 4.12 per frame)"),
        ("gmacs", "gmacs", "GMACs counted over all parts executed"),
        ("frames", "mean_frames", "Mean frames per video"),
        ("latency", "latency_ms", "Expected latency (ms per video, from measured step times)"),
    ],
)
def test_the_axis_label_names_the_quantity(one: Sweep, x: Any, field: str, label: str) -> None:
    figure = sweep_figure([one], x=x)
    assert figure.axes[0].get_xlabel() == label
    (default,) = [point for point in one.points if point.family == "default"]
    assert places(lines(figure)[DEFAULT.label]) == [(getattr(default, field), default.accuracy)]


def test_a_frame_flexible_network() -> None:
    figure = sweep_figure([swept(point("cascade", 2.0, 60.0), point("fixed", 1.0, 50.0), point("default", 3.0, 61.0))])
    assert list(lines(figure)) == [STYLES["fixed"].label, STYLES["cascade"].label, DEFAULT.label]


def test_with_map_only_the_front_has_intervals() -> None:
    found = random_sweep(2, "map")
    figure = sweep_figure([found], x="gmacs", published=published_overlay("activitynet"))
    assert figure.axes[0].get_ylabel() == "mAP (%)"
    assert any(shape.get_label() == BAND for shape in figure.axes[0].collections)
    assert len(figure.legends) == 2
    bare = replace(found, points=tuple(replace(point, interval=None) for point in found.points))
    figure = sweep_figure([bare])
    assert not any(shape.get_label() == BAND for shape in figure.axes[0].collections)


def test_the_legend_covers_no_data(one: Sweep) -> None:
    figure = sweep_figure([one])
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    assert legend.y1 < figure.axes[0].get_window_extent().y0


@pytest.mark.parametrize(
    ("sweeps", "options", "words"),
    [
        ([], {}, "there are no sweeps to plot"),
        ([swept()], {}, "none of the operating points has an accuracy"),
        ([swept(point("gates", 1.0, None))], {}, "none of the operating points has an accuracy"),
        (
            [swept(point("gates", 1.0, 1.0)), swept(dataset="demo")],
            {},
            "sweeps of folder and demo cannot share a figure",
        ),
        ([swept(point("gates", 1.0, 1.0)), swept(metric="map")], {}, "sweeps of top1 and map cannot share a figure"),
        ([swept(point("gates", 1.0, 1.0))], {"x": "gflops_paper"}, "net: the paper reports no GFLOPs.*use --x gmacs"),
        ([swept(point("gates", 1.0, 1.0))], {"published": published_overlay("hvu")}, "HVU uses metric map"),
        (
            [swept(point("gates", 1.0, 1.0))],
            {"published": published_overlay("minikinetics"), "x": "latency"},
            "the papers report no latency",
        ),
    ],
)
def test_invalid_input_is_rejected(sweeps: list[Sweep], options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        sweep_figure(sweeps, **options)


def test_the_command_takes_a_table_or_a_run(one: Sweep, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    write_sweep(tmp_path / "run" / SWEEP, one)
    write_sweep(tmp_path / "other.parquet", random_sweep(3))
    args = ["sweep", str(tmp_path / "run"), str(tmp_path / "other.parquet"), "--x", "frames", "-o"]
    result = CliRunner().invoke(app, [*args, str(tmp_path / "out.png")], catch_exceptions=False)
    assert result.exit_code == 0
    assert result.stdout.split() == [str(tmp_path / f"out.{kind}") for kind in ("png", "svg", "pdf")]
    with pytest.raises(RunError, match="does not exist"):
        CliRunner().invoke(app, ["sweep", str(tmp_path)], catch_exceptions=False)
    assert "Example: vbench plot sweep" in CliRunner().invoke(app, ["sweep", "--help"]).stdout


def test_equal_sweeps_give_equal_files(one: Sweep, tmp_path: Path) -> None:
    first, second = (plot_sweep([one], tmp_path / name) for name in ("a", "b"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert np.mean([path.stat().st_size for path in first]) < 400_000
