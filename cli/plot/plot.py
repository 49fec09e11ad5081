"""``vbench plot``: figures from finished runs.

Intentionally thin: read the runs, call one function, print the paths. matplotlib is slow to import, so the commands
import it lazily to keep ``vbench --help`` fast.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...errors import UsageError
from ..common.output import print_lines
from . import bench as plot_bench
from . import sweep as plot_sweep
from . import time as plot_time
from .options import (
    Family,
    FramesAxis,
    Out,
    PublishedDataset,
    PublishedOverlay,
    Runs,
    RunsOrNone,
    Series,
    XAxis,
    read_points,
)

app = typer.Typer(no_args_is_help=True, help="Plot figures of finished runs.")


@app.command()
def efficiency(
    runs: RunsOrNone = None,
    out: Out = Path("efficiency.png"),
    published: Annotated[
        PublishedOverlay | None,
        typer.Option("--published", help="Add published results on this data set; without runs, plot them alone."),
    ] = None,
    x: Annotated[XAxis, typer.Option("--x", help="The paper's GFLOPs, counted GMACs, or frames.")] = XAxis.auto,
    series: Series = None,
) -> None:
    """Plot accuracy against compute, one line per bundle, engine and data set.

    If a run of a bundle with gate sets contains a sweep (vbench sweep), the point of each set is marked, and a line
    shows the best that all sets reach.

    Example: vbench plot efficiency runs/* --published activitynet -o curve.png
    """
    from ...bench.sweep.sweep_file import SWEEP, read_sweep
    from ...plots.figures.efficiency import plot_efficiency
    from ...plots.published.frameexit import published_overlay

    overlay = None if published is None else published_overlay(published.value)
    points = read_points(runs, series)
    sweeps = [read_sweep(run) for run in runs or () if (run / SWEEP).is_file()]
    print_lines(plot_efficiency(points, out, published=overlay, x=x.value, sweeps=sweeps))


@app.command()
def exits(runs: Runs, out: Out = Path("exits.png")) -> None:
    """Plot the share of videos that exit at each step, one panel per run.

    Example: vbench plot exits runs/20260101-frameexit_r50-ort -o exits.png
    """
    from ...plots.figures.exits import plot_exits

    print_lines(plot_exits(read_points(runs), out))


@app.command()
def frames(
    runs: RunsOrNone = None,
    out: Out = Path("frames.png"),
    x: Annotated[FramesAxis, typer.Option("--x", help="Frames, GMACs, or a panel for each.")] = FramesAxis.both,
    published: Annotated[
        PublishedDataset | None, typer.Option("--published", help="Add the FFN paper's points on this data set.")
    ] = None,
    family: Annotated[
        Family | None, typer.Option("--family", help="Network family of the published points (default: tsm).")
    ] = None,
    series: Series = None,
) -> None:
    """Plot accuracy against frame count and compute, one line per bundle, engine and data set.

    Example: vbench plot frames runs/ffn --series ST=runs/tsm_4,runs/tsm_8,runs/tsm_16 --published sthv1
    """
    from ...plots.figures.frame_counts import plot_frames
    from ...plots.published.ffn import flexible_points

    if family is not None and published is None:
        raise UsageError(f"--family {family.value} requires published points", "add --published with a data set")
    overlay = () if published is None else flexible_points(published.value, (family or Family.tsm).value)
    print_lines(plot_frames(read_points(runs, series), out, published=overlay, x=x.value))


app.command()(plot_bench.bench)
app.command()(plot_sweep.sweep)
app.command()(plot_time.latency)
app.command()(plot_time.steps)
app.command()(plot_time.speedup)
