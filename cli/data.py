"""``vbench data``: prepare the frames of a data set, and report missing files.

Intentionally thin: parse, call one function, print. Data goes to stdout, progress to stderr.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common.options import Command, OneOf, takes
from .common.output import print_json, print_lines, stderr

if TYPE_CHECKING:
    from ..bench.datasets.check import DataCheck
    from ..bench.datasets.prepare import ExtractionSummary

app = typer.Typer(no_args_is_help=True, help="Prepare and check data sets.")

Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Folder of the data set; default: $VBENCH_DATA/DATASET."),
]
_SHOWN = 5


def _prepared() -> Iterable[str]:
    from ..bench.datasets.registry import frame_layouts

    return frame_layouts()


def _checked() -> Iterable[str]:
    from ..bench.datasets.check import checked

    return checked()


@app.command(cls=Command)
@takes()
def prepare(
    name: Annotated[str, typer.Argument(metavar="DATASET", help="Data set to prepare."), OneOf(_prepared)],
    videos: Annotated[Path, typer.Option("--videos", metavar="DIR", help="Folder with the video files.")],
    data: Data = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Number of processes; default: one per core.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Extract at most this many videos.")] = None,
) -> None:
    """Extract the frames of a data set's videos as its authors did. Run it again to resume.

    Example: vbench data prepare minikinetics --videos ~/kinetics/val --data data/minikinetics
    """
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from ..bench.datasets import data_folder
    from ..bench.datasets.prepare import get_layout
    from ..bench.datasets.prepare import prepare as prepare_frames

    root = data_folder(get_layout(name).name, data)
    columns = (*Progress.get_default_columns()[:-1], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr()) as bar:
        task = bar.add_task("extracting", total=None)
        prepared = prepare_frames(
            name, videos, root, workers, limit, lambda done, total: bar.update(task, completed=done, total=total)
        )
    print_lines(_summary_lines(prepared))


@app.command(cls=Command)
@takes()
def check(
    name: Annotated[str, typer.Argument(metavar="DATASET", help="Data set to check."), OneOf(_checked)],
    data: Data = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document listing all names.")] = False,
) -> None:
    """Check the contents of a data set's folder; exit with code 4 if anything is missing.

    Example: vbench data check minikinetics --data data/minikinetics
    """
    from dataclasses import asdict

    from ..bench.datasets import data_folder
    from ..bench.datasets.check import check_data, require_checkable

    found = check_data(name, data_folder(require_checkable(name), data))
    if json:
        print_json({**asdict(found), "root": str(found.root), "complete": found.complete})
    else:
        print_lines(_check_lines(found))
    if not found.complete:
        raise typer.Exit(4)


def _summary_lines(prepared: ExtractionSummary) -> list[str]:
    lines = [f"{prepared.extracted} videos extracted ({prepared.pictures} pictures), {prepared.ready} already present"]
    if prepared.missing:
        lines.append(f"{len(prepared.missing)} without a video file: {_some(prepared.missing)}")
    for title, problems in (("damaged, decodable frames used", prepared.damaged), ("failed", prepared.failed)):
        if problems:
            lines.append(f"{len(problems)} {title}:")
            lines += [f"  {problem.key}: {problem.reason}" for problem in problems]
    return lines


def _check_lines(found: DataCheck) -> list[str]:
    if found.missing_files:
        return [
            f"{found.root} has no {file.kind} for {found.name}; add one of {', '.join(file.accepted)}"
            for file in found.missing_files
        ]
    lines = [f"{found.name} in {found.root}: {found.videos} videos in the split, {found.ready} ready"]
    lines.append(f"{found.classes} classes")
    for title, names in (
        ("without frames", found.missing),
        ("without a label", found.unlabelled),
        ("unknown classes", found.unknown_classes),
        ("skipped for too few frames", found.left_out),
    ):
        if names:
            lines.append(f"{len(names)} {title}: {_some(names)}")
    return lines


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
