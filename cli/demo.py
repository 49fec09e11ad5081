"""``vbench demo``: the whole way from a checkpoint to a curve, on data that vbench makes itself."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from ..errors import CheckError, UsageError
from .demo_flexible import flexible_text, show_flexible
from .demo_frameexit import frameexit_text, show_frameexit
from .output import print_json, stages

_MARK = ".vbench-demo"


def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write into.")] = Path("vbench-demo"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Export a tiny FrameExit and a tiny Frame Flexible Network, run them by PyTorch and ONNX Runtime, draw the curves.

    Needs no download: the networks are shipped, the videos (digits moving through clutter, moving blobs) are generated.

    Example: vbench demo
    """
    _prepare(out)
    with stages() as say:
        frameexit = show_frameexit(out, say)
        flexible = show_flexible(out, say)
    figures = [*frameexit.figures, *flexible.figures]
    if as_json:
        points = len(frameexit.points) + len(flexible.points) + 1
        print_json({"figures": [str(path) for path in figures], "operating_points": points})
    else:
        print("\n".join((frameexit_text(frameexit), "", flexible_text(flexible), "", *map(str, figures))))
    agreements = [frameexit.agreement, *flexible.agreements.values()]
    if any(found.changed for found in agreements):
        raise CheckError("ONNX Runtime's answers differ from PyTorch's", f"see the runs in {out / 'runs'}")


def _prepare(out: Path) -> None:
    if out.exists() and not (out / _MARK).exists() and any(out.iterdir()):
        raise UsageError(f"{out}: not empty and not made by an earlier demo", "choose another folder with --out")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / _MARK).touch()
