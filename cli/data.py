"""``vbench data``: make the frames of a data set ready, and say what is missing.

Thin on purpose: parse, call one function, print. Data go to stdout, progress to stderr.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common.options import Command, OneOf, takes

if TYPE_CHECKING:
    from ..bench.datasets.check import DataCheck
    from ..bench.datasets.prepare import ExtractionSummary

app = typer.Typer(no_args_is_help=True, help="Make data sets ready and check them.")

Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Folder of the data set; by default $VBENCH_DATA/DATASET."),
]
_SHOWN = 5


def _prepared() -> Iterable[str]:
    from ..bench.datasets.frameexit import LAYOUTS

    return LAYOUTS


def _checked() -> Iterable[str]:
    from ..bench.datasets.check import CHECKED

    return CHECKED


@app.command(cls=Command)
@takes()
def prepare(
    name: Annotated[str, typer.Argument(metavar="DATASET", help="Data set to prepare."), OneOf(_prepared)],
    videos: Annotated[Path, typer.Option("--videos", metavar="DIR", help="Folder of the video files.")],
    data: Data = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; by default one per core.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Extract at most this many videos.")] = None,
) -> None:
    """Extract the frames of a data set's videos, as its authors did. Run it again to go on where it stopped.

    Example: vbench data prepare minikinetics --videos ~/kinetics/val --data data/minikinetics
    """
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from ..bench.datasets import data_folder
    from ..bench.datasets.prepare import get_layout
    from ..bench.datasets.prepare import prepare as prepare_frames

    root = data_folder(get_layout(name).name, data)
    columns = (*Progress.get_default_columns()[:-1], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("extracting", total=None)
        prepared = prepare_frames(
            name, videos, root, workers, limit, lambda done, total: bar.update(task, completed=done, total=total)
        )
    for line in _summary_lines(prepared):
        typer.echo(line)


@app.command(cls=Command)
@takes()
def check(
    name: Annotated[str, typer.Argument(metavar="DATASET", help="Data set to check."), OneOf(_checked)],
    data: Data = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document, with every name.")] = False,
) -> None:
    """Say what a data set's folder holds and what it lacks; ends with 4 if something is missing.

    Example: vbench data check minikinetics --data data/minikinetics
    """
    from dataclasses import asdict

    from ..bench.datasets import data_folder
    from ..bench.datasets.check import check_data, require_checkable
    from .common.output import print_json

    found = check_data(name, data_folder(require_checkable(name), data))
    if json:
        print_json({**asdict(found), "root": str(found.root), "complete": found.complete})
    else:
        for line in _check_lines(found):
            typer.echo(line)
    if not found.complete:
        raise typer.Exit(4)


def _summary_lines(prepared: ExtractionSummary) -> list[str]:
    lines = [f"{prepared.extracted} videos extracted ({prepared.pictures} pictures), {prepared.ready} were ready"]
    if prepared.missing:
        lines.append(f"{len(prepared.missing)} without a video file: {_some(prepared.missing)}")
    for title, troubles in (("damaged, used as far as they decode", prepared.damaged), ("failed", prepared.failed)):
        if troubles:
            lines.append(f"{len(troubles)} {title}:")
            lines += [f"  {trouble.key}: {trouble.reason}" for trouble in troubles]
    return lines


def _check_lines(found: DataCheck) -> list[str]:
    if found.missing_files:
        return [
            f"{found.root} has no {file.kind} for {found.name}: put one of {', '.join(file.accepted)} there"
            for file in found.missing_files
        ]
    lines = [f"{found.name} in {found.root}: {found.videos} videos in the split, {found.ready} ready"]
    lines.append(f"{found.classes} classes")
    for title, names in (
        ("without frames", found.missing),
        ("without a label", found.unlabelled),
        ("unknown classes", found.unknown_classes),
        ("left out for too few frames", found.left_out),
    ):
        if names:
            lines.append(f"{len(names)} {title}: {_some(names)}")
    return lines


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
