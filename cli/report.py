"""``vbench report``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from .common.output import stages
from .plot.options import Runs


def report(
    runs: Runs,
    out: Annotated[Path, typer.Option("-o", "--out", help="HTML file; one that is there is replaced.")] = Path(
        "report.html"
    ),
    title: Annotated[
        str | None, typer.Option(help="Head of the page.", show_default="the networks and the data sets")
    ] = None,
) -> None:
    """Write one HTML page about finished runs: what was asked, what came out, figures, and how it was measured.

    The file holds all it needs and opens without a network. The first run is what the others are compared with.

    Example: vbench report runs/all_frames runs/default -o report.html --title "Early exits on our videos"
    """
    from ..files import whole_file
    from ..plots.report.page import report_html

    with stages() as say:
        say("reading and drawing the runs")  # an mAP's intervals take a while
        page = report_html(runs, shlex.join(["vbench", *sys.argv[1:]]), title)
    with whole_file(out) as temporary:
        # A path may hold bytes that are no text.
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")
    typer.echo(out)
