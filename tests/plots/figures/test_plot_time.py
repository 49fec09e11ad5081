"""Figures of time: latency, latency by exit step and realized speed-up, and the errors for runs without them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.plots.figures.test_plots import POINT, RECORD, lines, write_run
from vbench.cli.plot.plot import app
from vbench.errors import RunError, UsageError, VbenchError
from vbench.plots.figures.latency import latency_figure
from vbench.plots.figures.speedup import speedup_figure, speedups
from vbench.plots.figures.time_by_exit import steps_figure
from vbench.plots.runs.operating_point import OperatingPoint, operating_point
from vbench.plots.runs.timing import Latency, Setting, Timing

SEQUENTIAL = {"schedule": "sequential", "slots": 1, "prefetch": 1, "workers": 1}
INFLIGHT = {"schedule": "inflight", "slots": 8, "prefetch": 1, "workers": 2}
MACHINE = {"processor": "AMD EPYC", "cores": 2, "system": "Linux", "python": "3.11"}
BY_STEP = {
    "1": {"p50": 10.0, "p90": 15.0, "p99": None, "count": 100},
    "2": {"p50": 20.0, "p90": None, "p99": None, "count": 20},
    "4": {"p50": 40.0, "p90": 50.0, "p99": None, "count": 80},
}
HISTOGRAM = [100, 20, 0, 80]


def write_timed(folder: Path, **changes: Any) -> Path:
    """Write a run with times, as ``vbench run`` does."""
    times = {
        "videos_per_s": 50.0,
        "latency_ms": {"p50": 20.0, "p90": 45.0, "p99": None, "count": 200},
        "latency_by_exit_step_ms": BY_STEP,
        "exit_histogram": HISTOGRAM,
        "videos": 200,
    }
    metrics = {**RECORD["metrics"], **times, **{key: value for key, value in changes.items() if key in times}}
    rest = {key: value for key, value in changes.items() if key not in times}
    settings = {"schedule": SEQUENTIAL, "machine": MACHINE, "config": {"engine": {"precision": "fp32", "threads": 0}}}
    return write_run(folder, **{"metrics": metrics, **settings, **rest})


def timed(p50_ms: float = 20.0, p90_ms: float | None = 45.0, **changes: Any) -> OperatingPoint:
    timing = Timing(200, 50.0, Latency(p50_ms, p90_ms, None, 200))
    return replace(
        POINT, **{"timing": timing, "setting": Setting("fp32", "AMD EPYC, 2 cores", "sequential"), **changes}
    )


def run_at(gmacs: float, videos_per_s: float, *, whole: bool = False, **changes: Any) -> OperatingPoint:
    counts = (0, 0, 200) if whole else (100, 50, 50)
    point = timed(gmacs=gmacs, exit_counts=counts, label=f"{gmacs:g}")
    point = replace(point, timing=replace(point.timing, videos_per_s=videos_per_s))
    return replace(point, **changes)


def whiskers(figure: Any) -> list[list[tuple[float, float]]]:
    return [
        [tuple(end) for end in segment]
        for collection in figure.axes[0].collections
        for segment in collection.get_segments()
    ]


def refused(words: str, call: Callable[[], object], kind: type[VbenchError] = UsageError) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_times_and_setting_are_read(tmp_path: Path) -> None:
    point = operating_point(write_timed(tmp_path / "run"))
    steps = (Latency(10.0, 15.0, None, 100), Latency(20.0, None, None, 20), None, Latency(40.0, 50.0, None, 80))
    assert point.timing == Timing(200, 50.0, Latency(20.0, 45.0, None, 200), steps)
    assert point.setting == Setting("fp32", "AMD EPYC, 2 cores", "sequential")
    assert point.series == POINT.series


def test_another_precision_is_another_series(tmp_path: Path) -> None:
    run = write_timed(tmp_path / "run", config={"engine": {"precision": "int8", "threads": 4}}, schedule=INFLIGHT)
    point = operating_point(run)
    assert point.series == "frameexit_r50, ort int8, minikinetics"
    assert point.setting == Setting("int8", "AMD EPYC, 2 cores, 4 threads", "inflight, 8 slots, 2 readers")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"videos_per_s": "fast"}, "metrics.videos_per_s is 'fast', not a number"),
        ({"latency_ms": [20.0]}, "metrics.latency_ms is a list, not an object"),
        ({"latency_ms": {"p50": "20", "count": 3}}, "run.json: latency_ms.p50 is '20', not a number"),
        ({"latency_by_exit_step_ms": {"1": 3.0}}, "latency_by_exit_step_ms.1 is a number, not an object"),
    ],
)
def test_times_that_are_not_numbers(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    refused(words, lambda: operating_point(write_timed(tmp_path / "run", **changes)), RunError)


def test_latency_p50_as_markers_and_whiskers_to_p90() -> None:
    figure = latency_figure([timed(40.0, 60.0, accuracy=76.0), timed(20.0, None, accuracy=70.0)])
    assert lines(figure)[POINT.series] == [(20.0, 70.0), (40.0, 76.0)]
    assert whiskers(figure) == [[(40.0, 76.0), (60.0, 76.0)]]
    axes = figure.axes[0]
    assert axes.get_xlabel() == "Latency p50 (ms per video, including decoding)\nwhiskers extend to p90"
    assert axes.get_ylabel() == "Top-1 accuracy (%)"
    assert axes.get_xscale() == "linear"
    without = latency_figure([timed(20.0, None)])
    assert without.axes[0].get_xlabel() == "Latency p50 (ms per video, including decoding)"
    assert whiskers(without) == []


def test_latency_is_logarithmic_beyond_a_factor_of_twenty() -> None:
    assert latency_figure([timed(10.0, 205.0)]).axes[0].get_xscale() == "log"
    assert latency_figure([timed(10.0, 195.0)]).axes[0].get_xscale() == "linear"


def test_machines_and_schedules_that_differ_are_never_joined() -> None:
    many = timed(setting=Setting("fp32", "AMD EPYC, 2 cores", "inflight, 8 slots"))
    assert set(labels(latency_figure([timed(), many]))) == {
        f"{POINT.series}; inflight, 8 slots",
        f"{POINT.series}; sequential",
    }
    elsewhere = timed(setting=Setting("fp32", "Intel Xeon", "sequential"))
    unknown = timed(setting=Setting("fp32", "", "sequential"))
    assert set(labels(latency_figure([timed(), elsewhere, unknown]))) == {
        f"{POINT.series}; AMD EPYC, 2 cores",
        f"{POINT.series}; Intel Xeon",
        f"{POINT.series}; not recorded",
    }


def labels(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_missing_latency_is_reported() -> None:
    refused("there are no runs to plot", lambda: latency_figure([]))
    refused(f"{POINT.series}, {POINT.label}: the run has no latency", lambda: latency_figure([POINT]), RunError)
    nothing = Timing(200, 50.0, Latency(None, None, None, 0))
    refused("the run has no latency", lambda: latency_figure([timed(timing=nothing)]), RunError)


def test_steps_without_videos_are_gaps(tmp_path: Path) -> None:
    figure: Any = steps_figure([operating_point(write_timed(tmp_path / "run"))])
    panel, behind = figure.axes
    (p50, p90) = panel.lines
    assert list(p50.get_xdata()) == [1, 2, 3, 4]
    assert [value for value in p50.get_ydata() if not math.isnan(value)] == [10.0, 20.0, 40.0]
    assert math.isnan(p50.get_ydata()[2])
    assert [tuple(place) for place in p90.get_xydata()] == [(1, 15), (4, 50)]
    assert whiskers(figure) == [[(1, 10), (1, 15)], [(4, 40), (4, 50)]]
    assert [bar.get_height() for bar in behind.patches] == [50.0, 10.0, 0.0, 40.0]
    assert panel.get_zorder() > behind.get_zorder()
    assert figure.get_supxlabel() == "Exit step (frames used)"
    assert figure.get_supylabel() == "Latency (ms per video)"
    assert labels(figure)[-1] == "share of videos exiting at the step (tallest bar: 50 %)"


def test_steps_have_one_panel_per_run_with_the_setting_if_it_differs(tmp_path: Path) -> None:
    one = operating_point(write_timed(tmp_path / "one"))
    two = operating_point(write_timed(tmp_path / "two", schedule=INFLIGHT))
    titles = [axes.get_title() for axes in steps_figure([one, two]).axes[:2]]
    assert titles[1].endswith("\ninflight, 8 slots, 2 readers")
    assert len(steps_figure([one] * 10).axes) == 20
    slow = replace(one, timing=replace(one.timing, latency_by_step=(Latency(900.0, None, None, 3),)))
    assert [axes.get_yscale() for axes in steps_figure([one, slow]).axes[:2]] == ["log", "log"]
    assert steps_figure([one]).axes[0].get_ylim()[0] == 0


def test_missing_steps_are_reported() -> None:
    refused("there are no runs to plot", lambda: steps_figure([]))
    refused("the run has no videos with an exit step", lambda: steps_figure([timed(exit_counts=(0, 0))]))
    refused("the run did not record latencies by exit step", lambda: steps_figure([timed()]), RunError)
    nothing = Timing(latency_by_step=(Latency(None, None, None, 0),))
    refused("the run did not record latencies by exit step", lambda: steps_figure([timed(timing=nothing)]), RunError)


def test_speedup_against_the_run_over_all_frames() -> None:
    runs = [run_at(10.0, 100.0), run_at(40.0, 40.0, whole=True), run_at(20.0, 80.0)]
    figure = speedup_figure(runs)
    assert lines(figure)[POINT.series] == [(1.0, 1.0), (2.0, 2.0), (4.0, 2.5)]
    texts = {text.get_text(): tuple(text.xy) for text in figure.axes[0].texts}  # type: ignore[attr-defined]
    assert texts == {"100 %": (2.0, 2.0), "62 %": (4.0, 2.5)}
    diagonal = lines(figure)["saving fully realized"]
    assert all(x == y for x, y in diagonal)
    assert diagonal[0][0] < 1 < 4 < diagonal[1][0]
    assert labels(figure) == [POINT.series, "saving fully realized"]
    assert (figure.axes[0].get_xscale(), figure.axes[0].get_yscale()) == ("log", "log")
    near = speedup_figure([run_at(30.0, 50.0), run_at(40.0, 40.0, whole=True)])
    assert near.axes[0].get_xscale() == "linear"


def test_every_series_and_setting_has_its_own_baseline() -> None:
    fast = Setting("fp32", "AMD EPYC, 2 cores", "inflight, 8 slots")
    other = [run_at(40.0, 80.0, whole=True, setting=fast), run_at(20.0, 120.0, setting=fast)]
    found = speedups([run_at(40.0, 40.0, whole=True), run_at(20.0, 70.0), *other])
    by_schedule = {entry.point.setting.schedule: entry.realized for entry in found if entry.theoretical == 2}
    assert by_schedule == {"sequential": 1.75, "inflight, 8 slots": 1.5}


def test_many_points_are_not_annotated() -> None:
    whole = run_at(40.0, 40.0, whole=True)
    assert len(speedup_figure([whole, *(run_at(20.0 + n, 60.0) for n in range(12))]).axes[0].texts) == 12
    assert len(speedup_figure([whole, *(run_at(20.0 + n, 60.0) for n in range(13))]).axes[0].texts) == 0


def test_a_flexible_networks_baseline_is_its_largest_count() -> None:
    counts = [run_at(4.0 * n, 80.0 / n, whole=True, exit_counts=(200,), frame_counts=(n,)) for n in (4, 8, 16)]
    cascade = run_at(70.0, 4.0, exit_counts=(100, 100), frame_counts=(4, 16))
    found = speedups([*counts, cascade])
    assert {entry.baseline.frame_counts for entry in found} == {(16,)}
    assert min(entry.theoretical for entry in found) == pytest.approx(64 / 70)
    refused("no run over all frames to compare with", lambda: speedups([*counts[:2], cascade]))


def test_what_cannot_be_compared_is_told() -> None:
    whole = run_at(40.0, 40.0, whole=True)
    refused("there are no runs to plot", lambda: speedup_figure([]))
    refused("no run over all frames to compare with; add a run with", lambda: speedups([run_at(9.0, 9.0)]))
    refused("--first-threshold 1 --gate-threshold 1", lambda: speedups([run_at(9.0, 9.0), run_at(8.0, 9.0)]))
    refused("there is no run to compare with the run over all frames", lambda: speedups([whole]))
    elsewhere = run_at(9.0, 9.0, setting=Setting("fp32", "Intel Xeon", "sequential"))
    refused(
        "Intel Xeon; sequential: there is no run over all frames",
        lambda: speedups([run_at(9.0, 9.0), whole, elsewhere]),
    )
    fewer = replace(run_at(9.0, 9.0), timing=Timing(100, 9.0))
    refused("100 videos, but the run over all frames has 200", lambda: speedups([whole, fewer]))
    silent = replace(run_at(9.0, 9.0), timing=Timing(200))
    refused("the run has no throughput", lambda: speedups([whole, silent]), RunError)
    refused("the run has no number of videos", lambda: speedups([whole, replace(silent, timing=Timing())]), RunError)
    refused("the run has no MACs", lambda: speedups([whole, run_at(0.0, 9.0)]))


@pytest.mark.parametrize("command", ["latency", "steps", "speedup"])
def test_the_commands_write_all_three_formats(tmp_path: Path, command: str) -> None:
    whole = write_timed(tmp_path / "whole", exit_histogram=[0, 0, 0, 200])
    runs = [str(whole), str(write_timed(tmp_path / "gates"))]
    out = tmp_path / "figure.pdf"
    result = CliRunner().invoke(app, [command, *runs, "-o", str(out)], catch_exceptions=False)
    assert result.stdout.split() == [str(out.with_suffix(suffix)) for suffix in (".png", ".svg", ".pdf")]
    assert all(Path(path).stat().st_size > 1000 for path in result.stdout.split())


@pytest.mark.parametrize("command", ["efficiency", "latency", "speedup"])
def test_series_join_checkpoints_into_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr("vbench.plots.figures.style.save", lambda figure, out: drawn.append(figure) or [out])
    histogram = [0, 0, 0, 200]
    runs = [
        write_timed(tmp_path / name, bundle={"name": name}, exit_histogram=histogram if name == "c" else HISTOGRAM)
        for name in ("a", "b", "c")
    ]
    CliRunner().invoke(app, [command, "--series", f"gates={','.join(map(str, runs))}"], catch_exceptions=False)
    assert len(lines(drawn[0])["gates, ort, minikinetics"]) == 3
