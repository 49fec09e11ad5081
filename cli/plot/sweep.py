"""``vbench plot sweep``: replayed operating points."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from .options import Out, PublishedOverlay


class SweepAxis(str, Enum):
    """What the horizontal axis shows."""

    auto = "auto"
    gflops_paper = "gflops_paper"
    gmacs = "gmacs"
    frames = "frames"
    latency = "latency"


def sweep(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Runs that were swept, or their tables.")],
    out: Out = Path("sweep.png"),
    x: Annotated[
        SweepAxis, typer.Option("--x", help="Paper's count, MACs counted here, frames, or milliseconds.")
    ] = SweepAxis.auto,
    published: Annotated[
        PublishedOverlay | None, typer.Option("--published", help="Add what papers print on this data set.")
    ] = None,
) -> None:
    """Draw accuracy against compute of replayed policies, one line for each kind of exit rule.

    Example: vbench plot sweep runs/trace -o sweep.png
    """
    from ...bench.sweep.sweep_file import read_sweep
    from ...plots.figures.sweep import plot_sweep
    from ...plots.published.frameexit import published_overlay

    overlay = None if published is None else published_overlay(published.value)
    for path in plot_sweep([read_sweep(path) for path in paths], out, x=x.value, published=overlay):
        typer.echo(path)
