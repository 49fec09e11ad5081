"""``vbench report``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from .common.output import print_lines, stages
from .plot.options import Runs


def report(
    runs: Runs,
    out: Annotated[Path, typer.Option("-o", "--out", help="HTML file; an existing one is replaced.")] = Path(
        "report.html"
    ),
    title: Annotated[str | None, typer.Option(help="Page title.", show_default="networks and data sets")] = None,
) -> None:
    """Write an HTML report on finished runs: results, figures, paired comparisons and measurement conditions.

    The file is self-contained and opens offline. The first run is compared with each of the others. Folders written by
    vbench bench may be among the runs, or alone; each becomes its own section.

    Example: vbench report runs/all_frames runs/default -o report.html --title "Early exits on our videos"
    """
    from ..files import whole_file
    from ..plots.report.page import report_html

    with stages() as say:
        say("reading and drawing the runs")  # intervals for an mAP take a while
        page = report_html(runs, shlex.join(["vbench", *sys.argv[1:]]), title)
    with whole_file(out) as temporary:
        # A path may contain bytes that are not valid text.
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")
    print_lines((out,))
