"""The frame-count figure: runs joined into lines, published points in the right places, and errors."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.plots.figures.test_plots import lines, write_run
from tests.shared import needs_shared, shared
from vbench.cli.plot.options import Family, PublishedDataset
from vbench.cli.plot.plot import app
from vbench.errors import RunError, UsageError
from vbench.plots.figures.efficiency import efficiency_figure
from vbench.plots.figures.exits import exits_figure
from vbench.plots.figures.frame_counts import frames_figure
from vbench.plots.published.ffn import FLEXIBLE_FAMILIES, flexible_points
from vbench.plots.runs.operating_point import OperatingPoint, operating_point, run_folders
from vbench.runtime.policies.registry import policy_of

ACCURACY = {4: 42.1, 8: 47.9, 16: 50.2}
CASCADE = {"policy_label": "cascade 4, 8, 16 above 0.9", "step_frames": [4, 8, 16]}
FFN, ST, PLAIN = "TSM-FFN, published: ", "TSM-ST, published: ", "TSM, published: "


def write_count(folder: Path, count: int, name: str = "tsm_ffn", **changes: object) -> Path:
    """Write the run of one frame count, as ``vbench run`` does; ``mean_frames`` of its record counts steps."""
    given = {
        "policy_label": f"{count} frames",
        "step_frames": [count],
        "accuracy": ACCURACY[count],
        "gmacs": 4.1 * count,
    }
    written = {"bundle": {"name": name, "network": "tsm_ffn_resnet50"}, "dataset": "sthv1", "mean_frames": 1.0}
    return write_run(folder, **{"gflops_paper": None, "exit_histogram": [40], **written, **given, **changes})


def write_counts(folder: Path, counts: Sequence[int] = (4, 8, 16), **changes: object) -> Path:
    folder.mkdir()
    for count in counts:
        name = f"frames_{count:02d}"
        write_count(folder / name, count, **{"variant": name, **changes})
    return folder


def write_cascade(folder: Path, **changes: object) -> Path:
    """Write a cascade run: 10 videos exit at 4 frames, 10 at 4 + 8, and 20 at 4 + 8 + 16."""
    given = {**CASCADE, "accuracy": 49.6, "gmacs": 70.0, "mean_frames": 2.25, "exit_histogram": [10, 10, 20]}
    return write_count(folder, 16, **{**given, **changes})


def points(*folders: Path) -> list[OperatingPoint]:
    return [operating_point(run) for run in run_folders(folders)]


def panel(figure: Any, number: int) -> dict[str, list[tuple[float, float]]]:
    return {line.get_label(): list(map(tuple, line.get_xydata().tolist())) for line in figure.axes[number].lines}


def published_line(figure: Any, start: str, number: int = 0) -> list[tuple[float, float]]:
    (found,) = (line for label, line in panel(figure, number).items() if label.startswith(start))
    return found


def ticks(figure: Any) -> list[int]:
    return [int(tick) for tick in figure.axes[0].get_xticks()]


@pytest.fixture
def plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run the command and return its figure."""
    drawn: list[Any] = []
    monkeypatch.setattr("vbench.plots.figures.style.save", lambda figure, out: drawn.append(figure) or [out])

    def run(*args: str | Path) -> Any:
        CliRunner().invoke(app, ["frames", *map(str, args)], catch_exceptions=False)
        return drawn[-1] if drawn else None

    monkeypatch.chdir(tmp_path)
    return run


def test_the_counts_of_a_bundle_form_one_line_in_both_panels(tmp_path: Path) -> None:
    figure = frames_figure(points(write_counts(tmp_path / "ffn")))
    assert panel(figure, 0) == {"tsm_ffn, ort, sthv1": [(4, 42.1), (8, 47.9), (16, 50.2)]}
    places = panel(figure, 1)["tsm_ffn, ort, sthv1"]
    assert places == [(pytest.approx(4.1 * count), accuracy) for count, accuracy in ACCURACY.items()]
    assert ticks(figure) == [4, 8, 16]
    assert [axes.get_xlabel() for axes in figure.axes] == ["Frames per video", "GMACs counted over all parts executed"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["Top-1 accuracy (%)", ""]
    assert len(figure.legends[0].get_texts()) == 1


@pytest.mark.parametrize(("x", "place"), [("frames", 8.0), ("gmacs", 32.8)])
def test_one_panel(tmp_path: Path, x: Any, place: float) -> None:
    figure = frames_figure(points(write_count(tmp_path / "run", 8)), x=x)
    assert len(figure.axes) == 1
    assert lines(figure) == {"tsm_ffn, ort, sthv1": [(pytest.approx(place), 47.9)]}


def test_a_cascade_is_a_separate_point_at_its_mean_number_of_frames_read(tmp_path: Path) -> None:
    runs = points(write_counts(tmp_path / "ffn"), write_cascade(tmp_path / "cascade"))
    mean = (10 * 4 + 10 * 12 + 20 * 28) / 40
    drawn = lines(frames_figure(runs))
    assert drawn["tsm_ffn, ort, sthv1, cascade 4, 8, 16 above 0.9 (mean of all frames read)"] == [(mean, 49.6)]
    assert drawn["tsm_ffn, ort, sthv1"] == [(4, 42.1), (8, 47.9), (16, 50.2)]
    assert ticks(frames_figure(runs)) == [4, 8, 16]


def test_runs_of_two_data_sets_and_metrics_have_distinct_names(tmp_path: Path) -> None:
    runs = points(write_counts(tmp_path / "a"), write_counts(tmp_path / "b", dataset="activitynet", metric="map"))
    assert set(lines(frames_figure(runs))) == {"tsm_ffn, ort, sthv1 (top-1)", "tsm_ffn, ort, activitynet (mAP)"}
    overlaid = lines(frames_figure(runs[3:], published=flexible_points("sthv1")))
    assert "tsm_ffn, ort, activitynet (mAP)" in overlaid


def test_ticks_do_not_overlap(tmp_path: Path) -> None:
    runs = points(write_counts(tmp_path / "tsm"), write_count(tmp_path / "64", 16, step_frames=[64]))
    assert ticks(frames_figure(runs)) == [4, 8, 16, 64]
    many = [write_count(tmp_path / f"at_{count}", 16, step_frames=[count]) for count in range(1, 65)]
    shown = ticks(frames_figure(points(*many)))
    assert 64 in shown
    assert min(right - left for left, right in pairwise(shown)) >= 63 / 16


def test_series_join_bundles_and_exclude_their_runs_from_the_rest(tmp_path: Path, plot: Callable[..., Any]) -> None:
    write_counts(tmp_path / "ffn")
    for count in ACCURACY:
        write_count(tmp_path / f"st_{count}", count, name=f"tsm_{count}")
    figure = plot("ffn", "st_8", "--series", "ST=st_4,st_8,st_16", "--x", "frames")
    line = [(4, 42.1), (8, 47.9), (16, 50.2)]
    assert lines(figure) == {"ST, ort, sthv1": line, "tsm_ffn, ort, sthv1": line}
    assert set(lines(plot("--series", "A=ffn", "--series", "B=st_4"))) == {"A, ort, sthv1", "B, ort, sthv1"}


@pytest.mark.parametrize(
    ("series", "words"),
    [
        (["ST"], "is not NAME=RUN,RUN"),
        (["=a"], "is not NAME=RUN,RUN"),
        (["ST="], "is not NAME=RUN,RUN"),
        (["ST=a,,b"], "is not NAME=RUN,RUN"),
        (["ST=ffn/frames_04,ffn/frames_04"], "--series names ffn/frames_04 twice"),
        (["ST=ffn", "B=./ffn/../ffn/frames_08"], "frames_08 twice"),
    ],
)
def test_wrong_series(tmp_path: Path, plot: Callable[..., Any], series: list[str], words: str) -> None:
    write_counts(tmp_path / "ffn")
    refused(words, lambda: plot(*(word for text in series for word in ("--series", text))))


def test_published_points_of_every_training_match_the_paper() -> None:
    figure = frames_figure([], published=flexible_points("sthv2"))
    assert published_line(figure, FFN) == [(4, 56.07), (8, 61.86), (16, 63.61)]
    assert published_line(figure, ST) == [(4, 53.38), (8, 59.29), (16, 61.02)]
    assert published_line(figure, PLAIN) == [(4, 31.52), (8, 51.55), (16, 61.02)]
    assert published_line(figure, FFN, 1) == [(16.38, 56.07), (32.7, 61.86), (65.4, 63.61)]
    assert all("(sthv2)" in label for label in lines(figure))
    assert figure.axes[1].get_xlabel() == "GMACs per video\n(the paper's GFLOPs are MACs)"
    looks = {(line.get_marker(), line.get_linestyle(), line.get_markerfacecolor()) for line in figure.axes[0].lines}
    assert len(looks) == 3


def test_published_points_are_drawn_behind_the_runs(tmp_path: Path) -> None:
    figure = frames_figure(points(write_counts(tmp_path / "ffn")), published=flexible_points("sthv1"))
    assert ticks(figure) == [*range(2, 21, 2)]
    assert published_line(figure, FFN)[:2] == [(2, 26.92), (4, 42.85)]
    assert len(figure.legends[0].get_texts()) == 4
    assert figure.axes[1].get_xlabel() == "GMACs counted over all parts executed\n(the paper's GFLOPs are MACs)"
    order = {line.get_label(): line.get_zorder() for line in figure.axes[0].lines}
    assert max(order, key=lambda label: order[label]) == "tsm_ffn, ort, sthv1"
    assert any("from a figure" in label for label in order)


def test_uniformer_counts_its_three_crops() -> None:
    figure = frames_figure([], published=flexible_points("sthv1", "uniformer"), x="gmacs")
    line = published_line(figure, "Uniformer-FFN, published: ")
    assert line == [
        (pytest.approx(3 * gflops), top1) for gflops, top1 in ((7.96, 51.41), (17.59, 56.64), (41.74, 58.88))
    ]
    assert all("3 crops" in label for label in lines(figure))


def test_tea_has_no_published_compute(tmp_path: Path) -> None:
    tea = flexible_points("sthv1", "tea")
    assert len(frames_figure([], published=tea).axes) == 1
    figure = frames_figure(points(write_counts(tmp_path / "tea")), published=tea)
    assert [label for label, line in panel(figure, 1).items() if line] == ["tsm_ffn, ort, sthv1"]
    assert figure.axes[1].get_xlabel() == "GMACs counted over all parts executed"
    assert sum("no GFLOPs published" in text.get_text() for text in figure.legends[0].get_texts()) == 3
    refused("the FFN paper reports no GFLOPs for TEA", lambda: frames_figure([], published=tea, x="gmacs"))


@needs_shared
def test_published_points_are_those_of_the_collection() -> None:
    with (shared() / "reference" / "published.csv").open(newline="", encoding="utf-8") as file:
        rows = {(row["series"], row["frames"], row["method"]): row for row in csv.DictReader(file)}
    theirs = {(series, frames): row for (series, frames, _), row in rows.items()}
    shipped = [point for name in PublishedDataset for family in Family for point in all_of(name.value, family.value)]
    for point in shipped:
        row = theirs[point.series, str(point.frames)]
        assert float(row["accuracy"]) == point.accuracy
        assert (float(row["gflops_total"]) if row["gflops_total"] else None) == pytest.approx(point.gflops_total)
        assert (row["confidence"] == "seen_in_source_file") == (point.accuracy_from == "printed")
    left_out = {series for series, _ in theirs if "_ffn_" in series} - {point.series for point in shipped}
    # The any-frame figure contains two of the table's lines; a reproduction by others is not part of the paper.
    assert left_out == {"sthv1_ffn_tsm_st", "sthv1_ffn_tsm_ffn", "sthv2_ffn_reproduction"}
    for (series, frames), row in theirs.items():
        if series in ("sthv1_ffn_tsm_st", "sthv1_ffn_tsm_ffn"):
            assert theirs[series.replace("ffn_tsm", "anyframe"), frames]["accuracy"] == row["accuracy"]


def all_of(dataset: str, family: str) -> tuple[Any, ...]:
    try:
        return flexible_points(dataset, family)
    except UsageError:
        return ()


def test_the_command_offers_what_is_published() -> None:
    available = {
        (name.value, family.value) for name in PublishedDataset for family in Family if all_of(name.value, family.value)
    }
    assert len(available) == 7
    assert {family.value for family in Family} == set(FLEXIBLE_FAMILIES)
    refused("the FFN paper has no results for tea on sthv2; choose from", lambda: flexible_points("sthv2", "tea"))


def test_mistakes_are_reported_in_one_line(tmp_path: Path, plot: Callable[..., Any]) -> None:
    refused("there are no runs to plot", plot)
    refused("add --published", lambda: plot("--family", "tea"))
    refused("has no results for tea on sthv2", lambda: plot("--family", "tea", "--published", "sthv2"))
    write_run(tmp_path / "frameexit")
    refused("the run has no frame count (frameexit first=0.95 gate=0.5); use vbench plot", lambda: plot("frameexit"))
    write_counts(tmp_path / "ffn", complete=False)
    refused("frames_04: the run did not finish", lambda: plot("ffn"), RunError)
    write_count(tmp_path / "one", 8)
    write_count(tmp_path / "two", 8)
    refused("tsm_ffn, ort, sthv1 has 2 runs at 8 frames", lambda: plot("one", "two"))
    write_cascade(tmp_path / "odd", exit_histogram=[40])
    refused("does not match the frame counts", lambda: plot("odd"), RunError)
    (tmp_path / "empty").mkdir()
    refused("empty has no run.json", lambda: plot("empty"), RunError)


def test_variants_are_found_by_their_record(tmp_path: Path) -> None:
    """Names do not matter; other runs in the folder are excluded, and a damaged one is not skipped."""
    write_count(tmp_path / "small", 4, variant="small")
    write_count(tmp_path / "large", 16, variant="large")
    write_count(tmp_path / "other", 8)
    assert run_folders([tmp_path]) == [tmp_path / "large", tmp_path / "small"]
    (tmp_path / "other" / "run.json").write_text("{")
    assert run_folders([tmp_path]) == [tmp_path / "large", tmp_path / "other", tmp_path / "small"]


def test_a_step_may_read_no_frames(tmp_path: Path) -> None:
    point = operating_point(write_cascade(tmp_path / "run", step_frames=[4, 0, 8]))
    assert (point.frame_counts, point.mean_frames) == ((4, 0, 8), (10 * 4 + 10 * 4 + 20 * 12) / 40)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({}, "step_frames is an object, not a list"),
        ([], "step_frames is [], which holds no frame counts"),
        ([0, 0], "step_frames is [0, 0], which holds no frame counts"),
        (["8"], "step_frames holds a value that is not a count"),
        ([True], "step_frames holds a value that is not a count"),
    ],
)
def test_invalid_frame_counts_are_rejected(tmp_path: Path, counts: object, words: str) -> None:
    run = write_count(tmp_path / "run", 8, step_frames=counts)
    refused(words, lambda: operating_point(run), RunError)


@pytest.mark.parametrize("option", ["--published", "--family", "--x"])
def test_unknown_choices(option: str) -> None:
    assert CliRunner().invoke(app, ["frames", option, "unheard"]).exit_code == 2


def refused(words: str, call: Callable[[], object], kind: type[Exception] = UsageError) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_of_counts_denotes_its_runs_in_every_plot(tmp_path: Path) -> None:
    parent, cascade = write_counts(tmp_path / "ffn"), write_cascade(tmp_path / "cascade")
    assert run_folders([parent, cascade, cascade]) == [*sorted(parent.iterdir()), cascade]
    for command in ("efficiency", "exits", "frames"):
        out = tmp_path / f"{command}.png"
        result = CliRunner().invoke(app, [command, str(parent), "-o", str(out)], catch_exceptions=False)
        assert result.stdout.split() == [str(out.with_suffix(suffix)) for suffix in (".png", ".svg", ".pdf")]


def test_efficiency_keeps_a_cascade_off_the_line_of_counts(tmp_path: Path) -> None:
    runs = points(write_counts(tmp_path / "ffn"), write_cascade(tmp_path / "cascade"))
    drawn = lines(efficiency_figure(runs, x="frames"))
    assert drawn["tsm_ffn, ort, sthv1"] == [(4, 42.1), (8, 47.9), (16, 50.2)]
    assert drawn["tsm_ffn, ort, sthv1, cascade"] == [(18.0, 49.6)]


def test_exits_of_a_cascade_are_steps(tmp_path: Path) -> None:
    figure: Any = exits_figure(points(write_cascade(tmp_path / "cascade")))
    assert list(figure.axes[0].lines[0].get_xdata()) == [2.25, 2.25]
    assert figure.get_supxlabel() == "Exit step"


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        ({"kind": "frames", "frames": 8}, "8 frames"),
        ({"kind": "cascade", "counts": [4, 8, 16], "threshold": 0.9}, CASCADE["policy_label"]),
    ],
)
def test_policy_labels(policy: dict[str, object], text: str) -> None:
    assert policy_of(policy, "here").label() == text


def test_help_has_an_example() -> None:
    assert "Example: vbench plot frames" in CliRunner().invoke(app, ["frames", "--help"]).stdout
