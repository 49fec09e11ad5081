"""``vbench demo``: the full workflow from a checkpoint to curves and a report, on generated data."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from ...errors import CheckError, UsageError
from ...startup import ready
from ..common.output import print_json, print_lines, stages
from .flexible import FlexibleChapter, flexible_text, show_flexible
from .frameexit import FrameExitChapter, frameexit_text, show_frameexit

_MARK = ".vbench-demo"


def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write to.")] = Path("vbench-demo"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Export a tiny FrameExit and a tiny Frame Flexible Network, run them, replay exit policies and write a report.

    Nothing is downloaded: the networks are included, and the videos (digits in clutter, moving blobs) are generated.

    Example: vbench demo
    """
    ready()  # the startup of this command is not that of its first run
    _prepare(out)
    with stages() as show_stage:
        frameexit = show_frameexit(out, show_stage)
        flexible = show_flexible(out, show_stage)
        show_stage("report")
        report = _report(out, [*frameexit.runs, *flexible.runs])
    figures = [*frameexit.figures, *flexible.figures]
    if as_json:
        points = frameexit.swept + len(flexible.points) + 1
        print_json({"report": str(report), "figures": [str(path) for path in figures], "operating_points": points})
    else:
        paths = [path for path in figures if path.suffix == ".png"]
        texts = (*frameexit_text(frameexit).split("\n"), "", *flexible_text(flexible).split("\n"))
        print_lines((*texts, "", *paths, report))
    _check(out, frameexit, flexible)


def _report(out: Path, runs: list[Path]) -> Path:
    from ...files import whole_file
    from ...plots.report.page import report_html

    path = out / "report.html"
    with whole_file(path) as temporary:
        temporary.write_text(
            report_html(runs, "vbench demo", "vbench demo"), encoding="utf-8", errors="backslashreplace"
        )
    return path


def _check(out: Path, frameexit: FrameExitChapter, flexible: FlexibleChapter) -> None:
    if any(found.changed for found in (frameexit.agreement, *flexible.agreements.values())):
        raise CheckError("ONNX Runtime's answers differ from PyTorch's", f"see the runs in {out / 'runs'}")
    if frameexit.replayed:
        raise CheckError("the replay differs from the recorded run", f"see the runs in {out / 'runs'}")


def _prepare(out: Path) -> None:
    if out.exists() and not (out / _MARK).exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty, and is not from an earlier demo", "choose another folder with --out")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / _MARK).touch()
