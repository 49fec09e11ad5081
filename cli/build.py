"""``vbench build``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from ..runtime.engines.options import EngineOptions
from .common.options import Changed, Options, takes
from .common.output import aligned, print_json, stages

if TYPE_CHECKING:
    from ..runtime.engines.trt.plan_source import PartPlan


_BUILDS = "trt"


@takes(
    engine=Options(
        EngineOptions,
        # how the parts run, which a build has no part in
        without=("threads", "checkpoint", "provider", "graphs"),
        changed={
            "engine": Changed(_BUILDS, f"Engine to build for; so far only {_BUILDS} builds anything."),
            "device": Changed(show_default="cuda"),
        },
    )
)
def build(
    bundle: Annotated[
        Path | None, typer.Argument(help="Bundle to build for.", show_default="the only one in bundles/")
    ] = None,
    *,
    engine: EngineOptions,
    slots: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Most videos in a batch; the kernels are chosen for as many.",
            show_default="32; 8 for frame-flexible networks",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Build again what is there already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Build a bundle's TensorRT plans for this GPU, so that the first run need not.

    Plans are kept in the bundle, for each GPU, TensorRT, precision and number of slots; those that are there are only
    checked. The table says what the layers that multiply really compute in.

    Example: vbench build bundles/frameexit_r50 --engine trt --precision fp16 --slots 32
    """
    from ..runtime.bundle.bundle import open_bundle
    from ..runtime.engines.trt.load import build_plans
    from .run import chosen_bundle

    if engine.engine != _BUILDS:
        raise UsageError(f"the engine {engine.engine} builds nothing", f"leave --engine out, or name {_BUILDS}")
    opened = open_bundle(chosen_bundle(bundle))
    with stages() as say:
        plans = list(build_plans(opened, replace(engine, slots=slots, say=say), force=force))
    print_json(_document(opened.path, plans)) if as_json else print(_table(plans))


def _document(bundle: Path, plans: list[PartPlan]) -> dict[str, object]:
    return {
        "bundle": str(bundle),
        "plans": [
            {"part": part, "built": built, "seconds": round(seconds, 3), "record": plan.record}
            for part, plan, seconds, built in plans
        ],
    }


def _table(plans: list[PartPlan]) -> str:
    from ..runtime.engines.trt.precision_check import summary

    rows = [("part", "layers that multiply", "", "seconds", "MB")]
    for part, plan, seconds, built in plans:
        state = "built" if built else "there"
        megabytes = plan.record["size_bytes"] / 1e6
        rows.append((part, summary(plan.layers), state, f"{seconds:.1f}", f"{megabytes:.2f}"))
    return aligned(rows, left=3)
