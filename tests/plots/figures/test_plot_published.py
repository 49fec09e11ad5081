"""Published curves: points match their papers, lines are distinguishable, and the legend names the sources."""

from __future__ import annotations

import csv
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.plots.figures.test_plots import POINT, lines, write_run
from tests.shared import needs_shared, shared
from vbench.cli.plot.options import PublishedOverlay
from vbench.cli.plot.plot import app
from vbench.errors import UsageError
from vbench.plots.figures.efficiency import efficiency_figure
from vbench.plots.published.frameexit import OVERLAYS, published_overlay, published_points
from vbench.plots.published.styles import SERIES_STYLES
from vbench.plots.published.tables import read_rows

RESNET = [(17.96, 72.72), (19.89, 73.90), (23.78, 75.37), (26.56, 76.05), (29.09, 76.41), (41.2, 77.30)]
EFFICIENT = [(10.03, 78.57), (10.98, 79.41), (14.85, 80.85), (18.00, 81.18)]
RESNET_NAME, EFFICIENT_NAME = "FrameExit (ResNet-50)", "FrameExit (EfficientNet-B3)"
# Legend, color and marker in the authors' figure.
FIGURE = {
    "AdaFrame-5 †": ("#F779DC", "d"),
    "MARL (R101) †": ("#1289F8", "o"),
    "AR-Net (ResNet) †": ("#DC465A", "o"),
    "AR-Net (EfficientNet) †": ("#DC465A", "v"),
    "L2L (IA|IA), uses audio †": ("#1EBE4C", "d"),
    "L2L (MNet|R101) †": ("#1EBE4C", "o"),
    "LiteEval †": ("#8A6E90", "o"),
    "SCSampler †": ("#FFB378", "o"),
    RESNET_NAME: ("#000000", "o"),
    EFFICIENT_NAME: ("#000000", "v"),
}


def alone(name: str, **options: Any) -> Any:
    return efficiency_figure([], published=published_overlay(name), **options)


def named(figure: Any) -> dict[str, Any]:
    """Return the lines named in the legend."""
    return {line.get_label(): line for line in figure.axes[0].lines if not line.get_label().startswith("_")}


def head(figure: Any) -> str:
    return str(figure.legends[0].get_title().get_text())


def test_the_ten_points_of_the_readme_match_the_paper() -> None:
    for figure in (alone("activitynet"), efficiency_figure([POINT], published=published_overlay("activitynet"))):
        drawn = lines(figure)
        assert drawn[RESNET_NAME] == RESNET
        assert drawn[EFFICIENT_NAME] == EFFICIENT
    assert drawn["frameexit_r50, ort, minikinetics (top-1)"] == [(19.7, 73.31)]


def test_drawn_alone_it_matches_the_authors_figure() -> None:
    figure = alone("activitynet")
    axes, drawn = figure.axes[0], named(figure)
    assert {label: (line.get_color(), line.get_marker()) for label, line in drawn.items()} == FIGURE
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(FIGURE)
    assert (axes.get_xlim(), axes.get_ylim()) == ((6, 96), (60, 82.5))
    assert list(axes.get_xticks()) == list(range(10, 100, 10))
    assert list(axes.get_yticks()) == [60 + 2.5 * number for number in range(10)]
    assert axes.get_xlabel() == "GFLOPs as published (they are MACs)"
    assert axes.get_ylabel() == "mAP (%)"
    assert head(figure) == "Published on ActivityNet (mAP) in FrameExit (CVPR 2021)\n† read from a figure"


def test_lines_leave_the_figure_where_the_authors_have_them() -> None:
    axes = alone("activitynet").axes[0]
    leaving = {line.get_color(): line for line in axes.lines if line.get_label() == "_beyond"}
    assert set(leaving) == {"#DC465A", "#1EBE4C", "#8A6E90"}
    assert {line.get_marker() for line in leaving.values()} == {"None"}
    # Heights at the right edge, from published.md: 76.0 and 76.5
    for color, height in (("#DC465A", 76.0), ("#1EBE4C", 76.5)):
        (left, low), (right, high) = leaving[color].get_xydata()[:2]
        assert low + (96 - left) / (right - left) * (high - low) == pytest.approx(height, abs=0.05)


@pytest.mark.parametrize("name", OVERLAYS)
def test_lines_differ_in_more_than_color(name: str) -> None:
    styles = {
        label: (line.get_marker(), line.get_fillstyle(), line.get_linestyle())
        for label, line in named(alone(name)).items()
    }
    colors = {label: line.get_color() for label, line in named(alone(name)).items()}
    for one, other in combinations(styles, 2):
        assert styles[one] != styles[other], (one, other, colors[one], colors[other])


@pytest.mark.parametrize("name", OVERLAYS)
def test_no_line_joins_points_of_two_papers(name: str) -> None:
    overlay = published_overlay(name)
    for line in overlay.lines:
        assert len({(point.paper, point.series) for point in line.points}) == 1
        assert not {point.paper for point in line.beyond} & {line.points[0].paper}
    assert {(point.dataset, point.metric) for line in overlay.lines for point in line.points} == {
        (overlay.dataset, overlay.metric)
    }


def test_points_from_tables_are_not_joined() -> None:
    for name in ("minikinetics", "activitynet-table", "kinetics400", "hvu"):
        figure = alone(name)
        assert {line.get_linestyle() for line in named(figure).values()} == {"None"}
        assert "single points from tables, not part of a curve" in head(figure)
    drawn = lines(alone("minikinetics"))
    assert drawn["FrameExit (ResNet-50) [1]"] == [(19.7, 72.8), (41.2, 73.3)]
    assert drawn["FrameExit (ResNet-50), released [1]"] == [(19.7, 73.31)]
    assert lines(alone("hvu"))[RESNET_NAME] == [(8.6, 45.7), (18.7, 49.2)]


def test_x3d_is_drawn_at_the_cost_of_ten_clips() -> None:
    drawn = lines(alone("activitynet-table"))
    assert drawn["FrameExit (X3D-S)"] == [(9.8, 86.0), (19.6, 87.4)]
    assert drawn[RESNET_NAME] == [(26.1, 76.1), (41.2, 77.3)]
    assert lines(alone("activitynet-table", x="frames"))["FrameExit (X3D-S)"] == [
        (pytest.approx(65), 86.0),
        (pytest.approx(130), 87.4),
    ]
    assert lines(alone("kinetics400"))["X3D-S"] == [(19.6, 73.1), (58.8, 73.5)]


def test_several_papers_are_numbered() -> None:
    figure = alone("activitynet-modern")
    assert " ".join(head(figure).split()) == (
        "Published on ActivityNet (mAP) in [1] FrameExit (CVPR 2021), [2] Uni-AdaFocus (TPAMI 2024), "
        "[3] AdaFocus V2 (CVPR 2022) † read from a figure"
    )
    assert "VideoIQ (bit-weighted) [3] †" in named(figure)
    assert (figure.axes[0].get_xlim(), figure.axes[0].get_ylim()) == ((5, 50), (70, 82))
    assert "OCSampler [3] ‡" in named(alone("minikinetics"))


def test_behind_runs_the_published_lines_recede() -> None:
    figure = efficiency_figure([POINT, replace(POINT, accuracy=75)], published=published_overlay("activitynet"))
    run = named(figure)["frameexit_r50, ort, minikinetics (top-1)"]
    before, after = named(alone("activitynet")), named(figure)
    for label in FIGURE:
        assert after[label].get_alpha() < 1
        assert after[label].get_linewidth() < run.get_linewidth()
        assert after[label].get_zorder() < run.get_zorder()
        assert after[label].get_linestyle() == before[label].get_linestyle()
    assert figure.axes[0].get_xlabel() == "GFLOPs as published (they are MACs); runs: 4.12 per frame"
    assert figure.axes[0].get_xlim()[1] <= 96
    assert [len(legend.get_texts()) for legend in figure.legends] == [10, 1]


def test_with_counted_macs_the_legend_names_the_papers_count() -> None:
    figure = efficiency_figure([replace(POINT, gflops_paper=None)], published=published_overlay("activitynet"))
    assert "(mAP; the papers' GFLOPs are MACs)" in head(figure)
    assert figure.axes[0].get_xlabel() == "GMACs counted over all parts executed"
    assert alone("activitynet", x="gmacs").axes[0].get_xlabel() == "GFLOPs as published (they are MACs)"


def test_only_frameexit_lines_fit_on_the_frames_axis() -> None:
    figure = alone("activitynet", x="frames")
    assert set(lines(figure)) == {RESNET_NAME, EFFICIENT_NAME}
    assert lines(figure)[RESNET_NAME][-1] == (10, 77.3)
    assert lines(figure)[EFFICIENT_NAME][0] == (pytest.approx(5.572, abs=1e-3), 78.57)
    assert "8 other lines without frame counts omitted" in head(figure)
    assert "†" not in head(figure)
    assert figure.axes[0].get_xlabel() == "Mean frames per video"


def test_no_legend_covers_data(tmp_path: Path) -> None:
    for name in OVERLAYS:
        for points in ([], [POINT]):
            figure: Any = efficiency_figure(points, published=published_overlay(name))
            figure.savefig(tmp_path / "figure.png")
            area = figure.axes[0].get_window_extent()
            assert not any(legend.get_window_extent().overlaps(area) for legend in figure.legends)
            assert all(figure.bbox.contains(*corner) for legend in figure.legends for corner in corners(legend))


def corners(legend: Any) -> list[tuple[float, float]]:
    box = legend.get_window_extent()
    return [(box.x0, box.y0), (box.x1, box.y1)]


def test_the_command_draws_published_lines_without_any_run(tmp_path: Path) -> None:
    out = tmp_path / "figure"
    result = CliRunner().invoke(
        app, ["efficiency", "--published", "activitynet", "-o", str(out)], catch_exceptions=False
    )
    assert result.stdout.split() == [f"{out}.{kind}" for kind in ("png", "svg", "pdf")]
    run = str(write_run(tmp_path / "run"))
    named_run = ["efficiency", "--series", f"mine={run}", "--published", "hvu", "-o", str(out)]
    assert CliRunner().invoke(app, named_run, catch_exceptions=False).exit_code == 0


def test_mistakes() -> None:
    with pytest.raises(UsageError, match="there are no runs to plot; pass at least one run folder, or --published"):
        CliRunner().invoke(app, ["efficiency"], catch_exceptions=False)
    assert CliRunner().invoke(app, ["efficiency", "--published", "unknown"]).exit_code == 2
    with pytest.raises(UsageError, match="unknown published overlay 'sthv1'; choose one of activitynet, "):
        published_overlay("sthv1")


def test_every_name_has_a_style_and_every_overlay_an_option() -> None:
    assert {point.legend for point in published_points()} == set(SERIES_STYLES)
    assert tuple(name.value for name in PublishedOverlay) == OVERLAYS
    drawn = {
        point for name in OVERLAYS for line in published_overlay(name).lines for point in line.points + line.beyond
    }
    assert drawn == set(published_points())


@needs_shared
def test_the_points_are_those_of_the_collection() -> None:
    with (shared() / "reference" / "published.csv").open(newline="", encoding="utf-8") as file:
        collected = list(csv.DictReader(file))
    kinds = {"seen_in_source_file": "printed", "read_off_figure": "figure", "secondary_source": "quoted"}
    datasets, metrics = {"ActivityNet-v1.3": "ActivityNet"}, {"mAP": "map"}
    shipped = read_rows("frameexit.csv")
    series = {row["series"] for row in shipped}
    copied = ("series", "method", "variant", "backbone", "accuracy", "source")
    theirs = [
        {
            **{key: row[key] for key in copied},
            "dataset": datasets.get(row["dataset"], row["dataset"]),
            "metric": metrics.get(row["metric"], row["metric"]),
            "gflops": row["gflops_total"],
            "accuracy_from": kinds[row["confidence"]],
            "gflops_from": kinds[row["gflops_confidence"]],
            "file": row["source_ref"],
        }
        for row in collected
        if row["series"] in series
    ]
    ours = [{key: value for key, value in row.items() if key != "legend"} for row in shipped]

    def ordered(table: list[dict[str, str]]) -> list[list[tuple[str, str]]]:
        return sorted(sorted(row.items()) for row in table)

    assert ordered(ours) == ordered(theirs)
