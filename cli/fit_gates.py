"""``vbench fit-gates``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from .common.extras import needs
from .common.options import takes
from .common.output import aligned, number, print_json, print_lines, stages
from .common.progress import counting

if TYPE_CHECKING:
    from ..fit.fit_gates import FittedSet


@takes()
def fit_gates(
    checkpoint: Annotated[
        Path, typer.Argument(help="FrameExit checkpoint; its gates are replaced.", show_default=False)
    ],
    features: Annotated[
        Path, typer.Argument(help="Run recorded with --trace --features on its bundle.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to create.", show_default=False)],
    beta: Annotated[
        str | None,
        typer.Option(
            help="Losses allowed at step 1, separated by commas; each gives one gate set.",
            show_default="quantiles of the recorded losses",
        ),
    ] = None,
    points: Annotated[
        int | None, typer.Option(min=1, help="Number of quantiles to use as betas.", show_default="10")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed for initialization, order and held-out videos.")] = 0,
    threads: Annotated[int, typer.Option(min=0, help="Threads; 0 for torch's default.")] = 0,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the features.")] = 12,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing folder.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Fit FrameExit's gates to recorded features: one checkpoint for each beta, each a point on the curve.

    The folder also gets one bundle with all gate sets, one of which --gates selects; the smallest beta, which exits
    latest, is its default. Trunk and classifiers stay as they are. A tenth of the videos is held out to choose the
    epoch; record videos that the network was not trained on, and never those that results are reported on.

    Example: vbench run frameexit_r50 --trace --features --split training --dataset folder --data clips -o recorded,
    then vbench fit-gates frameexit_r50.pth recorded --beta 1e-4,1e-3 -o gates
    """
    with needs("export"):
        from ..fit.fit_gates import FitOptions, fit_checkpoint
    betas = None if beta is None else _betas(beta)
    options = FitOptions(betas, points, seed, threads, epochs, force)
    with counting("fit") as listener:
        found = fit_checkpoint(checkpoint, features, out, options, listener)
    default = min(found, key=lambda each: float(each.record["beta"]))
    with stages() as show_stage:
        bundle = _export(default, out / checkpoint.name.partition(".")[0], show_stage)
    if as_json:
        sets = [{"checkpoint": str(each.checkpoint), **each.record} for each in found]
        print_json({"bundle": str(bundle), "default": default.name, "gate_sets": sets})
        return
    print_lines((*_table(found).split("\n"), out, f"{bundle}: all {len(found)} gate sets, {default.name} by default"))


def _export(default: FittedSet, bundle: Path, progress: Callable[[str], None]) -> Path:
    """Export the gate sets of a folder as one bundle, with ``default`` as the default."""
    from ..export.exporter import ExportOptions, export_checkpoint
    from ..fit.fit_gates import CLASSES

    folder, probabilities = default.checkpoint.parent, default.record["probabilities"]
    names = folder / CLASSES if (folder / CLASSES).is_file() else None
    stated = None if probabilities == "softmax" else probabilities  # a manifest states what differs from a softmax
    options = ExportOptions(gate_sets=folder, class_names=names, probabilities=stated)
    export_checkpoint(default.checkpoint, bundle, options, progress)
    return bundle


def _betas(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(each) for each in text.split(","))
    except ValueError:
        raise UsageError(f"--beta {text} is not a list of numbers", "separate them with commas: 1e-4,1e-3") from None


def _table(found: list[FittedSet]) -> str:
    metric, title = ("map", "mAP") if "map" in found[0].record["held_out"] else ("top1", "top-1")
    rows = [("gate set", "first threshold", "held-out frames", title, "all frames", "epoch")]
    for each in found:
        record, point = each.record, each.record["held_out"]
        rows.append(
            (
                each.name,
                f"{record['first_threshold']:.3f}",
                number(point["mean_frames"]),
                number(point[metric], "%"),
                number(point[f"{metric}_all_frames"], "%"),
                str(record["epoch"]),
            )
        )
    return aligned(rows)
