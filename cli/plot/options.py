"""Shared arguments of the ``vbench plot`` commands, and a reader for the runs that they name."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...errors import UsageError

if TYPE_CHECKING:
    from ...plots.runs.operating_point import OperatingPoint

_RUNS_HELP = "Run folders written by vbench run; a folder of runs at several frame counts selects all of them."
_SERIES_HELP = "Join runs of several bundles into one line; repeatable."

Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help=_RUNS_HELP)]
# For commands that can draw a figure without positional runs.
RunsOrNone = Annotated[list[Path] | None, typer.Argument(metavar="RUN...", help=_RUNS_HELP)]
Out = Annotated[Path, typer.Option("-o", "--out", help="Figure; written as PNG, SVG and PDF.")]
Series = Annotated[list[str] | None, typer.Option("--series", metavar="NAME=RUN,RUN", help=_SERIES_HELP)]


class XAxis(str, Enum):
    """Quantity on the horizontal axis."""

    auto = "auto"
    gflops_paper = "gflops_paper"
    gmacs = "gmacs"
    frames = "frames"


class FramesAxis(str, Enum):
    """Quantity on the horizontal axis of the frame-count figure."""

    both = "both"
    frames = "frames"
    gmacs = "gmacs"


class PublishedOverlay(str, Enum):
    """Published results on a data set of the FrameExit paper."""

    activitynet = "activitynet"
    activitynet_modern = "activitynet-modern"
    activitynet_table = "activitynet-table"
    minikinetics = "minikinetics"
    kinetics400 = "kinetics400"
    hvu = "hvu"


class PublishedDataset(str, Enum):
    """Data set of the FFN paper."""

    sthv1 = "sthv1"
    sthv2 = "sthv2"
    kinetics400 = "kinetics400"
    hmdb51 = "hmdb51"


class Family(str, Enum):
    """Network family of the FFN paper."""

    tsm = "tsm"
    tea = "tea"
    slowfast = "slowfast"
    uniformer = "uniformer"


def read_points(runs: Sequence[Path] | None, series: Sequence[str] | None = None) -> list[OperatingPoint]:
    """Read runs; runs named in a series (``NAME=RUN,RUN``) appear only there, not under their bundle.

    Raises:
        UsageError: a series is malformed or names a run twice.
        RunError: a run cannot be read.
    """
    from ...plots.runs.operating_point import operating_point, run_folders

    named: dict[Path, tuple[str, Path]] = {}
    for name, paths in map(_named_runs, series or ()):
        for path in paths:
            for run in run_folders([path]):
                if run.resolve() in named:
                    raise UsageError(f"--series names {run} twice", "name each run only once")
                named[run.resolve()] = (name, run)
    rest = [run for run in run_folders(runs or ()) if run.resolve() not in named]
    return [*map(operating_point, rest), *(operating_point(run, name) for name, run in named.values())]


def _named_runs(text: str) -> tuple[str, list[Path]]:
    name, _, runs = text.partition("=")
    paths = [run.strip() for run in runs.split(",")]
    if not name.strip() or not all(paths):
        raise UsageError(f"--series {text} is not NAME=RUN,RUN,...", "write, for example, ST=runs/tsm_4,runs/tsm_8")
    return name.strip(), [Path(path) for path in paths]
