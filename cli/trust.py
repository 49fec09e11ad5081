"""``vbench trust``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import CheckError, UsageError
from .common.output import note, print_json, print_lines

if TYPE_CHECKING:
    from ..runtime.engines.trust import ForeignEngine


def trust(
    plans: Annotated[
        list[Path], typer.Argument(help="Plans, or bundles that contain plans.", metavar="PLAN", show_default=False)
    ],
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Trust the plans without asking.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Accept TensorRT plans that were built elsewhere: show what they are, and sign them after confirmation.

    A plan is executable code, so vbench loads only plans that you built on this machine or have accepted here. What the
    command shows is what the plan's builder wrote next to it; compare the SHA-256 with the one that vbench build --json
    printed there.

    Example: vbench trust bundles/frameexit_r50
    """
    from ..runtime.engines import trust as engines

    paths = dict.fromkeys(found for path in plans for found in engines.find_engines(path))
    found = [engines.read_foreign(path) for path in paths]
    new = [engine for engine in found if not engine.trusted]
    if not as_json:
        print_lines(line for engine in found for line in _lines(engine))
    if new:
        _confirm(len(new), yes)
        for engine in new:
            engines.trust(engine)
    if as_json:
        print_json({"plans": [_document(engine) for engine in found]})
    else:
        note(f"trusted {len(new)} plan{'s' * (len(new) != 1)}" if new else "all plans were already trusted")


def _confirm(count: int, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("vbench trust asks for confirmation, but stdin is not a terminal", "pass --yes to confirm")
    what = "this plan" if count == 1 else f"these {count} plans"
    if not typer.confirm(f"A plan is executable code. Trust {what}?", err=True):
        raise CheckError("no plan was trusted, because it was not confirmed", "vbench will build its own plans")


def _document(engine: ForeignEngine) -> dict[str, object]:
    return {"plan": str(engine.path), "already_trusted": engine.trusted, "record": engine.record}


def _lines(engine: ForeignEngine) -> list[str]:
    from ..runtime.engines.trt.flavor import FLAVORS

    record = engine.record
    gpu = record.get("gpu") or f"sm_{record['compute_capability']}"
    built = f"{FLAVORS[record['flavor']].title} {record['tensorrt']} for {gpu}, {record['precision']}"
    return [
        f"{engine.path}{' (already trusted)' * engine.trusted}",
        f"  part     {record['part']} of {record['network']}",
        f"  built by {built}, for batches of up to {record['profile'][-1]} rows",
        f"  graph    SHA-256 {record['onnx_sha256']}",
        f"  plan     SHA-256 {record['sha256']}, {record['size_bytes'] / 1e6:.2f} MB",
    ]
