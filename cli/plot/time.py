"""The ``vbench plot`` commands for time: latency, steps and speedup."""

from __future__ import annotations

from pathlib import Path

from ..common.output import print_lines
from .options import Out, Runs, RunsOrNone, Series, read_points


def latency(runs: RunsOrNone = None, out: Out = Path("latency.png"), series: Series = None) -> None:
    """Plot accuracy against latency, one line per bundle, engine, precision and data set.

    Example: vbench plot latency runs/* -o latency.png
    """
    from ...plots.figures.latency import plot_latency

    print_lines(plot_latency(read_points(runs, series), out))


def steps(runs: Runs, out: Out = Path("steps.png")) -> None:
    """Plot the latency of videos by exit step, one panel per run.

    Example: vbench plot steps runs/20260101-frameexit_r50-ort -o steps.png
    """
    from ...plots.figures.time_by_exit import plot_steps

    print_lines(plot_steps(read_points(runs), out))


def speedup(runs: RunsOrNone = None, out: Out = Path("speedup.png"), series: Series = None) -> None:
    """Plot the realized speed-up against the theoretical one, relative to the run over all frames.

    Example: vbench plot speedup runs/* -o speedup.png
    """
    from ...plots.figures.speedup import plot_speedup

    print_lines(plot_speedup(read_points(runs, series), out))
