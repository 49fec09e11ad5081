"""``vbench plot``: figures from finished runs.

Thin on purpose: read the runs, call one function, print the paths. matplotlib takes its time to import, so that it is
imported inside the commands and ``vbench --help`` stays quick.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError

if TYPE_CHECKING:
    from ..plots.points import OperatingPoint

app = typer.Typer(no_args_is_help=True, help="Draw figures of finished runs.")

_RUNS_HELP = "Run folders, as vbench run writes them; a folder of frames_* runs stands for all of them."
Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help=_RUNS_HELP)]


class XAxis(str, Enum):
    """What the horizontal axis shows."""

    auto = "auto"
    gflops_paper = "gflops_paper"
    gmacs = "gmacs"
    frames = "frames"


class FramesAxis(str, Enum):
    """What the horizontal axis of the figure of frame counts shows."""

    both = "both"
    frames = "frames"
    gmacs = "gmacs"


class PublishedDataset(str, Enum):
    """A data set that the FFN paper has."""

    sthv1 = "sthv1"
    sthv2 = "sthv2"
    kinetics400 = "kinetics400"
    hmdb51 = "hmdb51"


class Family(str, Enum):
    """A network that the FFN paper makes flexible."""

    tsm = "tsm"
    tea = "tea"
    slowfast = "slowfast"
    uniformer = "uniformer"


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

    for path in plot_efficiency(_points(runs), out, published=published, x=x.value):
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

    for path in plot_exits(_points(runs), out):
        typer.echo(path)


@app.command()
def frames(
    runs: Annotated[list[Path] | None, typer.Argument(metavar="RUN...", help=_RUNS_HELP)] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Figure; written as PNG and SVG.")] = Path("frames.png"),
    x: Annotated[FramesAxis, typer.Option("--x", help="Frames, GMACs, or a panel for each.")] = FramesAxis.both,
    published: Annotated[
        PublishedDataset | None, typer.Option("--published", help="Add the FFN paper's points on this data set.")
    ] = None,
    family: Annotated[
        Family | None, typer.Option("--family", help="The network whose published points are added (tsm).")
    ] = None,
    series: Annotated[
        list[str] | None,
        typer.Option(
            "--series", metavar="NAME=RUN,RUN", help="Join runs of several bundles into one line; give it again."
        ),
    ] = None,
) -> None:
    """Draw accuracy against frame count and compute, one line per bundle, engine and data set.

    Example: vbench plot frames runs/ffn --series ST=runs/tsm_4,runs/tsm_8,runs/tsm_16 --published sthv1
    """
    from ..plots.frames import plot_frames
    from ..plots.published import flexible_points

    if family is not None and published is None:
        raise UsageError(f"--family {family.value} chooses among published points", "add --published with a data set")
    overlay = () if published is None else flexible_points(published.value, (family or Family.tsm).value)
    points = _points(runs or [], [_named_runs(text) for text in series or []])
    for path in plot_frames(points, out, published=overlay, x=x.value):
        typer.echo(path)


def _points(runs: Sequence[Path], series: Sequence[tuple[str, list[Path]]] = ()) -> list[OperatingPoint]:
    """Read runs; those that a series names are drawn there, and not a second time under their bundle."""
    from ..plots.points import operating_point, run_folders

    named: dict[Path, tuple[str, Path]] = {}
    for name, paths in series:
        for path in paths:
            for run in run_folders([path]):
                if run.resolve() in named:
                    raise UsageError(f"--series names {run} twice", "a run is drawn once")
                named[run.resolve()] = (name, run)
    rest = [run for run in run_folders(runs) if run.resolve() not in named]
    return [*map(operating_point, rest), *(operating_point(run, name) for name, run in named.values())]


def _named_runs(text: str) -> tuple[str, list[Path]]:
    name, _, runs = text.partition("=")
    paths = [run.strip() for run in runs.split(",")]
    if not name.strip() or not all(paths):
        raise UsageError(f"--series {text}: not NAME=RUN,RUN,...", "such as ST=runs/tsm_4,runs/tsm_8")
    return name.strip(), [Path(path) for path in paths]
