"""``vbench plot``: figures from finished runs.

Thin on purpose: read the runs, call one function, print the paths. matplotlib takes its time to import, so that it is
imported inside the commands and ``vbench --help`` stays quick.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Draw figures of finished runs.")

Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, as vbench run writes them.")]


class XAxis(str, Enum):
    """What the horizontal axis shows."""

    auto = "auto"
    gflops_paper = "gflops_paper"
    gmacs = "gmacs"
    frames = "frames"


@app.command()
def efficiency(
    runs: Runs,
    out: Annotated[Path, typer.Option("-o", "--out", help="Figure; written as PNG and SVG.")] = Path("efficiency.png"),
    published: Annotated[bool, typer.Option("--published", help="Add the ten points of the FrameExit paper.")] = False,
    x: Annotated[XAxis, typer.Option("--x", help="Paper's count, MACs counted here, or frames.")] = XAxis.auto,
) -> None:
    """Draw accuracy against compute, one line per bundle, engine and data set.

    Example: vbench plot efficiency runs/* --published -o curve.png
    """
    from ..plots.efficiency import plot_efficiency
    from ..plots.points import operating_point

    for path in plot_efficiency([operating_point(run) for run in runs], out, published=published, x=x.value):
        typer.echo(path)


@app.command()
def exits(
    runs: Runs,
    out: Annotated[Path, typer.Option("-o", "--out", help="Figure; written as PNG and SVG.")] = Path("exits.png"),
) -> None:
    """Draw the share of videos that leave at each step, one panel per run.

    Example: vbench plot exits runs/20260101-frameexit_r50-ort -o exits.png
    """
    from ..plots.exits import plot_exits
    from ..plots.points import operating_point

    for path in plot_exits([operating_point(run) for run in runs], out):
        typer.echo(path)
