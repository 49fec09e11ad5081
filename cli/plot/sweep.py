"""``vbench plot sweep``: replayed operating points."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ..common.output import print_lines
from .options import Out, PublishedOverlay


class SweepAxis(str, Enum):
    """Quantity on the horizontal axis."""

    auto = "auto"
    gflops_paper = "gflops_paper"
    gmacs = "gmacs"
    frames = "frames"
    latency = "latency"


def sweep(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Run folders with a sweep, or sweep tables.")],
    out: Out = Path("sweep.png"),
    x: Annotated[
        SweepAxis, typer.Option("--x", help="The paper's GFLOPs, counted GMACs, frames, or latency in ms.")
    ] = SweepAxis.auto,
    published: Annotated[
        PublishedOverlay | None, typer.Option("--published", help="Add published results on this data set.")
    ] = None,
) -> None:
    """Plot accuracy against compute of replayed policies, one line per policy group.

    Example: vbench plot sweep runs/trace -o sweep.png
    """
    from ...bench.sweep.sweep_file import read_sweep
    from ...plots.figures.sweep import plot_sweep
    from ...plots.published.frameexit import published_overlay

    overlay = None if published is None else published_overlay(published.value)
    print_lines(plot_sweep([read_sweep(path) for path in paths], out, x=x.value, published=overlay))
