"""``vbench trust``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import CheckError, UsageError
from .common.output import note, print_json, print_lines

if TYPE_CHECKING:
    from ..runtime.engines.trt.trust import ForeignPlan


def trust(
    plans: Annotated[
        list[Path], typer.Argument(help="Plans, or bundles that contain plans.", metavar="PLAN", show_default=False)
    ],
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Trust the plans without asking.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document; without --yes, only list the plans.")
    ] = False,
) -> None:
    """Accept TensorRT plans that were built elsewhere: show what they are, and sign them after confirmation.

    A plan is executable code, so vbench loads only plans that you built on this machine or have accepted here; a run
    replaces all others by plans of its own, so trust them before the first run. What the command shows is what the
    plan's builder wrote next to it; compare the SHA-256 with the one that vbench build --json printed there.

    Example: vbench trust bundles/frameexit_r50
    """
    from ..runtime.engines.trt import trust as engine

    paths = dict.fromkeys(found for path in plans for found in engine.find_plans(path))
    found = [engine.read_foreign(path) for path in paths]
    new = [plan for plan in found if not plan.trusted]
    sign = yes or not as_json
    if not as_json:
        print_lines(line for plan in found for line in _lines(plan))
    if new and sign:
        _confirm(len(new), yes)
        for plan in new:
            engine.trust(plan)
    if as_json:
        print_json({"plans": [_document(plan, plan.trusted or sign) for plan in found]})
    else:
        note(f"trusted {len(new)} plan{'s' * (len(new) != 1)}" if new else "all plans were already trusted")


def _confirm(count: int, yes: bool) -> None:
    if yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError("vbench trust asks for confirmation, but stdin is not a terminal", "pass --yes to confirm")
    what = "this plan" if count == 1 else f"these {count} plans"
    if not typer.confirm(f"A plan is executable code. Trust {what}?", err=True):
        raise CheckError("no plan was trusted, because it was not confirmed", "vbench will build its own plans")


def _document(plan: ForeignPlan, trusted: bool) -> dict[str, object]:
    return {"plan": str(plan.path), "trusted": trusted, "already_trusted": plan.trusted, "record": plan.record}


def _lines(plan: ForeignPlan) -> list[str]:
    from ..runtime.engines.trt.flavor import FLAVORS

    record = plan.record
    gpu = record.get("gpu") or f"sm_{record['compute_capability']}"
    built = f"{FLAVORS[record['flavor']].title} {record['tensorrt']} for {gpu}, {record['precision']}"
    return [
        f"{plan.path}{' (already trusted)' * plan.trusted}",
        f"  part     {record['part']} of {record['network']}",
        f"  built by {built}, for batches of up to {record['profile'][-1]} rows",
        f"  graph    SHA-256 {record['onnx_sha256']}",
        f"  plan     SHA-256 {record['sha256']}, {record['size_bytes'] / 1e6:.2f} MB",
    ]
