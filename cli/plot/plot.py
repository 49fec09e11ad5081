"""``vbench plot``: figures from finished runs.

Thin on purpose: read the runs, call one function, print the paths. matplotlib takes its time to import, so that it is
imported inside the commands and ``vbench --help`` stays quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...errors import UsageError
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

app = typer.Typer(no_args_is_help=True, help="Draw figures of finished runs.")


@app.command()
def efficiency(
    runs: RunsOrNone = None,
    out: Out = Path("efficiency.png"),
    published: Annotated[
        PublishedOverlay | None,
        typer.Option("--published", help="Add what papers print on this data set; without runs, draw it alone."),
    ] = None,
    x: Annotated[XAxis, typer.Option("--x", help="Paper's count, MACs counted here, or frames.")] = XAxis.auto,
    series: Series = None,
) -> None:
    """Draw accuracy against compute, one line per bundle, engine and data set.

    Example: vbench plot efficiency runs/* --published activitynet -o curve.png
    """
    from ...plots.figures.efficiency import plot_efficiency
    from ...plots.published.frameexit import published_overlay

    overlay = None if published is None else published_overlay(published.value)
    for path in plot_efficiency(read_points(runs, series), out, published=overlay, x=x.value):
        typer.echo(path)


@app.command()
def exits(runs: Runs, out: Out = Path("exits.png")) -> None:
    """Draw the share of videos that leave at each step, one panel per run.

    Example: vbench plot exits runs/20260101-frameexit_r50-ort -o exits.png
    """
    from ...plots.figures.exits import plot_exits

    for path in plot_exits(read_points(runs), out):
        typer.echo(path)


@app.command()
def frames(
    runs: RunsOrNone = None,
    out: Out = Path("frames.png"),
    x: Annotated[FramesAxis, typer.Option("--x", help="Frames, GMACs, or a panel for each.")] = FramesAxis.both,
    published: Annotated[
        PublishedDataset | None, typer.Option("--published", help="Add the FFN paper's points on this data set.")
    ] = None,
    family: Annotated[
        Family | None, typer.Option("--family", help="The network whose published points are added (tsm).")
    ] = None,
    series: Series = None,
) -> None:
    """Draw accuracy against frame count and compute, one line per bundle, engine and data set.

    Example: vbench plot frames runs/ffn --series ST=runs/tsm_4,runs/tsm_8,runs/tsm_16 --published sthv1
    """
    from ...plots.figures.frame_counts import plot_frames
    from ...plots.published.ffn import flexible_points

    if family is not None and published is None:
        raise UsageError(f"--family {family.value} chooses among published points", "add --published with a data set")
    overlay = () if published is None else flexible_points(published.value, (family or Family.tsm).value)
    for path in plot_frames(read_points(runs, series), out, published=overlay, x=x.value):
        typer.echo(path)


app.command()(plot_sweep.sweep)
app.command()(plot_time.latency)
app.command()(plot_time.steps)
app.command()(plot_time.speedup)
