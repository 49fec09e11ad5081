"""``vbench audit``."""

from __future__ import annotations

import shlex
import sys
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..bench.datasets.options import DataOptions
from ..errors import CheckError
from ..runtime.engines.options import EngineOptions
from ..runtime.policies.choice import PolicyChoice
from .common.engine_options import require_precision
from .common.options import Changed, Options, takes
from .common.output import note, print_json, print_lines
from .common.progress import run_progress
from .run import bundle_or_only

if TYPE_CHECKING:
    from ..bench.compare.agreement import Distribution
    from ..bench.compare.audit import Audit, AuditedPair, AuditedRun
    from ..bench.run.run import Listener


@takes(
    engine=Options(EngineOptions, without=("max_flips",)),
    against=Options(
        EngineOptions,
        prefix="against",
        only=("engine", "precision", "device"),
        changed={
            "engine": Changed("torch", "Reference engine.", flag="--against"),
            "precision": Changed(help="Precision of the reference."),
            "device": Changed(help="Device of the reference, like --device."),
        },
    ),
    data=DataOptions,
    policy=Options(PolicyChoice, without=("budget_ms", "remeasure")),
)
def audit(
    bundle: Annotated[
        Path | None, typer.Argument(help="Bundle to audit.", show_default="the only one in bundles/")
    ] = None,
    *,
    engine: EngineOptions,
    against: EngineOptions,
    data: DataOptions,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Folder for the two runs.", show_default="runs/<time>-<bundle>-audit"),
    ] = None,
    policy: PolicyChoice,
    max_changed: Annotated[
        float | None, typer.Option(min=0, help="Exit with code 4 if more than this percentage of videos change.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Compare an engine or precision with a reference: changes in class, exit step, accuracy and compute.

    A frame-flexible network is compared at each of its frame counts, or at those of --frames; with --cascade, the exit
    step is the frame count at which a video ends. --max-changed applies to each frame count.

    Example: vbench audit bundles/frameexit_r50 --engine ort --precision int8 --against torch

    The effect of a GPU: vbench audit --engine trt --precision fp16 --against ort

    A Frame Flexible Network in int8: vbench audit bundles/tsm_ffn_r50 --precision int8 --against ort --dataset sthv1
    """
    from ..bench.compare.audit import audit as run_audit
    from ..bench.compare.audit_record import record_finding
    from ..bench.records.run_folder import RunConfig

    require_precision(engine, "audit")
    require_precision(against, "compare with")
    chosen = bundle_or_only(bundle)
    folder = out or Path("runs", f"{datetime.now():%Y%m%d-%H%M%S}-{chosen.name}-audit")
    reference = replace(against, threads=engine.threads, checkpoint=engine.checkpoint)  # equal for both
    config = RunConfig(str(chosen), engine, data, policy=policy)
    found = run_audit(config, reference, folder, shlex.join(["vbench", *sys.argv[1:]]), _progress)
    for pair in found.pairs:
        if recorded := record_finding(pair.candidate, pair.reference, pair.changed_percent, chosen):
            note(recorded)
    print_json(_document(found)) if as_json else print_lines(_lines(found))
    _check(found, folder, max_changed)


def _check(found: Audit, folder: Path, max_changed: float | None) -> None:
    """Raise CheckError if a video has an answer in only one run, or more than ``max_changed`` percent changed."""
    for pair in found.pairs:
        where = "" if pair.variant is None else f"{pair.variant}: "
        if pair.agreement.answered_once:
            raise CheckError(
                f"{where}{pair.agreement.answered_once} of {pair.agreement.videos} videos have an answer in only one "
                "of the two runs",
                f"see the errors of the runs in {folder}",
            )
        if max_changed is not None and pair.changed_percent > max_changed:
            raise CheckError(
                f"{where}{pair.changed_percent:.2f} % of the videos changed, exceeding --max-changed {max_changed:g}",
                f"see the runs in {folder}",
            )


def _document(found: Audit) -> dict[str, Any]:
    """Return the audit as JSON: the only pair, or all variants and the largest percentage of changes."""
    pairs = [{**asdict(pair), "changed_percent": pair.changed_percent} for pair in found.pairs]
    if found.pairs[0].variant is None:
        (pair,) = pairs
        return {name: value for name, value in pair.items() if name != "variant"}
    return {"variants": pairs, "changed_percent": found.changed_percent}


def _progress(name: str) -> AbstractContextManager[Listener]:
    return run_progress(name, resumable=False)


def _lines(found: Audit) -> list[str]:
    """Return the lines of every pair, under the name of its variant if there are several."""
    if found.pairs[0].variant is None:
        return [*_pair_lines(found.pairs[0])]
    titled = (("", f"{pair.variant}:", *_pair_lines(pair)) for pair in found.pairs)
    return [line for lines in titled for line in lines][1:]


def _pair_lines(found: AuditedPair) -> tuple[str, ...]:
    same = found.agreement
    sides = (found.reference, found.candidate)
    changes = ", ".join(f"{count} by {change:+d}" for change, count in same.exit_step_changes.items())
    rows = (
        ("", *(" ".join(filter(None, (side.engine, side.device, side.precision))) for side in sides)),
        ("top-1" if sides[0].metric == "top1" else "mAP", *(_number(side.accuracy, 2, " %") for side in sides)),
        ("GMACs", *(_number(side.gmacs, 4) for side in sides)),
        ("mean frames", *(_number(side.mean_frames, 3) for side in sides)),
        ("videos/s, sequential", *(_number(side.videos_per_s, 2) for side in sides)),
        ("videos without an answer", *(str(side.errors) for side in sides)),
        *(_margins(side_name, sides) for side_name in ("p1", "p10", "p50")),
    )
    return (
        *(f"{name:<36} {one:>14} {other:>14}" for name, one, other in rows),
        "",
        f"{same.videos} videos: {same.other_class} changed class, {same.other_exit_step} changed exit step"
        + (f" ({changes})" if changes else "")
        + ("" if same.other_tags is None else f", {same.other_tags} changed the set of classes above 1/2"),
        f"probabilities differ by at most {same.probability_difference:.1e}",
        "gate values and confidences differ by " + _spread(same.score_differences),
        *(str(side.run) for side in sides),
    )


def _margins(percentile: str, sides: tuple[AuditedRun, AuditedRun]) -> tuple[str, str, str]:
    one, other = (_number(getattr(side.margins, percentile), 5) for side in sides)
    return f"distance from the threshold, {percentile}", one, other


def _spread(found: Distribution) -> str:
    if not found.count:
        return "nothing: no step uses any"
    return f"{found.p50:.1e} (median), {found.p99:.1e} (p99), {found.largest:.1e} (largest of {found.count})"


def _number(value: float | None, digits: int, unit: str = "") -> str:
    return "-" if value is None else f"{value:.{digits}f}{unit}"
