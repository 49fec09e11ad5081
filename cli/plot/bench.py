"""``vbench plot bench``: a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..common.output import note, print_lines
from .options import Out


def bench(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder written by vbench bench.")],
    out: Out = Path("bench.png"),
) -> None:
    """Plot a benchmark: speed against accuracy or unchanged answers, efficiency with intervals, and shares of time.

    bench.png gives bench-speed.png, bench-efficiency.png and bench-time.png. INVALID contenders are left out and named
    in the figures; UNSTABLE ones are marked.

    Example: vbench plot bench benches/20260131-120000-frameexit_r50 -o bench.png
    """
    from ...bench.benchmark import read_bench
    from ...plots.figures.bench import plot_bench

    found = read_bench(folder)
    if not found.complete:
        note(f"{folder} is incomplete: its figures show the repetitions measured before the interruption")
    written = plot_bench(found, out)
    for reason in written.left_out:
        note(f"omitted: {reason}")
    print_lines(written.paths)
