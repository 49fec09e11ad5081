"""Figures of a benchmark: what each shows, and the errors for benchmarks without usable contenders."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from typer.testing import CliRunner

from tests.plotted_benches import SPECS, Spec, make_bench, write_bench
from vbench.bench.benchmark import bench_rows
from vbench.cli.plot.plot import app
from vbench.errors import RunError, UsageError, VbenchError
from vbench.plots.figures.bench_contenders import ShownBench, looks, shown_bench
from vbench.plots.figures.bench_efficiency import bench_efficiency_figure
from vbench.plots.figures.bench_speed import bench_speed_figure
from vbench.plots.figures.bench_time import bench_time_figure

DAGGER = "\N{DAGGER}"
SHOWN = shown_bench(make_bench())
FAILED = Spec("ort fp32, sequential", 40.0, failure="killed by SIGKILL")


def axes_of(figure: Figure) -> Axes:
    (axes,) = figure.axes
    return axes


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text) if isinstance(text, Text))


def bar_names(figure: Figure) -> list[str]:
    return [label.get_text() for label in axes_of(figure).get_yticklabels()]


def error_of(folder: Path, *arguments: str) -> VbenchError:
    result = CliRunner().invoke(app, ["bench", str(folder), *arguments])
    assert isinstance(result.exception, VbenchError)
    assert "\n" not in str(result.exception)
    return result.exception


def test_the_speed_figure_shows_every_usable_contender_with_its_number() -> None:
    figure = bench_speed_figure(SHOWN)
    axes = axes_of(figure)
    names = [str(line.get_label()) for line in axes.lines]
    assert names[0] == "1  PyTorch as the original"
    assert names[5] == f"6  openvino fp32, sequential {DAGGER}"
    assert len(names) == len(SPECS) - 1
    places = [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in axes.lines]  # type: ignore[arg-type, index]
    rates = [row.videos_per_s[0] for row in SHOWN.rows if row.videos_per_s is not None]
    assert [x for x, _ in places] == rates
    assert [y for _, y in places] == [100.0, 100.0, 100.0, 85.0, 100.0, 100.0, 100.0]
    assert axes.get_xscale() == "log"
    numbers = [text.get_text() for text in axes.texts if text.get_text()]
    assert sorted(numbers, key=int) == [str(number) for number in range(1, len(SPECS))]


def test_unstable_and_invalid_contenders_are_recognizable() -> None:
    speed = axes_of(bench_speed_figure(SHOWN))
    assert [line.get_markerfacecolor() == "white" for line in speed.lines].index(True) == 5
    bars = axes_of(bench_efficiency_figure(SHOWN)).patches
    assert [bool(bar.get_hatch()) for bar in bars] == [False, False, True]
    for build in (bench_speed_figure, bench_efficiency_figure, bench_time_figure):
        figure = build(SHOWN)
        assert f"{DAGGER} UNSTABLE" in texts(figure)
        assert "Left out because INVALID: openvino bf16, inflight 8." in texts(figure)
        assert not any("bf16" in name for name in bar_names(figure))


def test_the_speed_figure_shows_accuracy_where_there_are_labels() -> None:
    labeled = axes_of(bench_speed_figure(shown_bench(make_bench(labeled=True))))
    assert labeled.get_ylabel() == "Top-1 accuracy (%)"
    assert axes_of(bench_speed_figure(SHOWN)).get_ylabel() == "Videos with the reference's class (%)"


def test_a_narrow_range_of_speeds_has_a_linear_axis() -> None:
    assert axes_of(bench_speed_figure(shown_bench(make_bench(SPECS[1:3])))).get_xscale() == "linear"


def test_numbers_of_crowded_points_do_not_overlap() -> None:
    specs = tuple(Spec(f"ort fp32, inflight {slots}", 40.0 + slots / 50, slots=slots) for slots in range(2, 26))
    figure = bench_speed_figure(shown_bench(make_bench(specs)))
    figure.draw_without_rendering()
    numbers = [text for text in axes_of(figure).texts if text.get_text()]
    boxes = [Text.get_window_extent(text) for text in numbers]
    assert len(boxes) == len(specs)
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_the_efficiency_figure_has_bars_with_intervals_and_a_line_at_1() -> None:
    figure = bench_efficiency_figure(SHOWN)
    axes = axes_of(figure)
    found = [row for row in SHOWN.rows if row.efficiency is not None]
    assert bar_names(figure) == [found[0].name, found[1].name, f"{found[2].name} {DAGGER}"]
    assert [bar.get_width() for bar in axes.patches] == [row.efficiency.ratio for row in found if row.efficiency]  # type: ignore[attr-defined]
    assert [1.0, 1.0] in [list(line.get_xdata()) for line in axes.lines]  # type: ignore[arg-type]
    assert len(axes.containers) == 2 * len(found)  # bars and intervals
    assert "of 1.50" in texts(figure)


def test_an_unbounded_interval_is_not_drawn() -> None:
    bench = make_bench(tuple(replace(spec, repeats=1) for spec in SPECS[1:3]))
    bench.header = replace(bench.header, options=replace(bench.header.options, min_repeats=1))
    figure = bench_efficiency_figure(shown_bench(bench))
    assert len(axes_of(figure).containers) == 1


def test_the_parts_of_the_time_add_up() -> None:
    figure = bench_time_figure(SHOWN)
    axes = axes_of(figure)
    stack, beside = axes.containers[:4], axes.containers[4:]
    assert [each.get_label() for each in stack] == ["waiting for frames", "backbone", "heads", "scheduling"]
    assert [each.get_label() for each in beside] == ["decoding", "preprocessing"]
    widths = [[bar.get_width() for bar in each] for each in stack]
    assert [sum(each) for each in zip(*widths)] == pytest.approx([100.0] * len(SHOWN.rows))
    assert all(bar.get_hatch() for each in beside for bar in each)
    assert "ms/video" in texts(figure)


def test_parts_beside_the_time_may_exceed_it() -> None:
    shares = {"wait": 0.1, "backbone": 0.8, "head": 0.1, "scheduling": 0.0, "decode": 1.5, "preprocess": 0.5}
    shown = ShownBench((replace(SHOWN.rows[0], shares=shares),), "top1", ())
    assert axes_of(bench_time_figure(shown)).get_xlim() == (0, 200)


def test_a_look_belongs_to_an_engine_and_a_precision() -> None:
    found = looks(SHOWN.rows)
    assert found[1] == found[2]
    assert len({look.color for look in found}) == len({look.marker for look in found}) == 4


def test_a_figure_without_data_says_why() -> None:
    shown = shown_bench(make_bench(SPECS[:1]))
    with pytest.raises(RunError, match="no contender has an efficiency"):
        bench_efficiency_figure(shown)
    with pytest.raises(RunError, match="no contender has recorded"):
        bench_time_figure(ShownBench((replace(shown.rows[0], shares=None),), "top1", ()))


def test_many_invalid_contenders_are_counted() -> None:
    failed = tuple(replace(FAILED, name=f"failed {number}") for number in range(9))
    assert "failed 5 and 3 more" in " ".join(shown_bench(make_bench((*SPECS[:1], *failed))).notes)


def test_a_benchmark_is_drawn_into_three_figures(tmp_path: Path) -> None:
    folder = write_bench(tmp_path / "bench", make_bench())
    result = CliRunner().invoke(app, ["bench", str(folder), "-o", str(tmp_path / "one.png")])
    assert result.exit_code == 0
    written = {f"one-{name}.{suffix}" for name in ("speed", "efficiency", "time") for suffix in ("png", "svg", "pdf")}
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == written
    assert {Path(line).name for line in result.stdout.splitlines()} == written


def test_an_interrupted_benchmark_is_drawn_and_says_so(tmp_path: Path) -> None:
    bench = make_bench(SPECS[:1])
    bench.complete = False
    folder = write_bench(tmp_path / "bench", bench)
    assert CliRunner().invoke(app, ["bench", str(folder), "-o", str(tmp_path / "one")]).exit_code == 0
    assert "The benchmark was interrupted." in (tmp_path / "one-speed.svg").read_text()
    assert not (tmp_path / "one-efficiency.png").exists()


def test_benchmarks_that_cannot_be_drawn_are_errors(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "holds no benchmark" in str(error_of(tmp_path / "empty"))
    assert "holds no benchmark" in str(error_of(tmp_path / "nowhere"))
    invalid = write_bench(tmp_path / "invalid", make_bench((FAILED,)))
    error = error_of(invalid)
    assert isinstance(error, RunError)
    assert str(error) == (
        "no contender of the benchmark is valid (ort fp32, sequential: killed by SIGKILL); repeat the benchmark"
    )
    good = write_bench(tmp_path / "good", make_bench(SPECS[:1]))
    assert isinstance(error_of(good, "-o", str(tmp_path / "one.jpg")), UsageError)
    (good / "turns.parquet").write_bytes(b"no table")
    assert isinstance(error_of(good), RunError)


def test_rows_may_be_given() -> None:
    bench = make_bench()
    assert shown_bench(bench, bench_rows(bench)) == shown_bench(bench)
