"""``vbench build``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from ..runtime.engines.options import EngineOptions
from .common.options import Changed, Options, takes
from .common.output import aligned, print_json, print_lines, stages

if TYPE_CHECKING:
    from ..runtime.engines.trt.plan_source import PartPlan


_BUILDS = "trt"


@takes(
    engine=Options(
        EngineOptions,
        # execution options, which do not affect a build
        without=("threads", "checkpoint", "provider", "graphs"),
        changed={
            "engine": Changed(_BUILDS, f"Engine to build for; so far, only {_BUILDS} requires a build."),
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
            help="Maximum batch size, for which kernels are optimized.",
            show_default="32; 8 for frame-flexible networks",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Rebuild existing plans.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Build a bundle's TensorRT plans for this GPU, so that the first run starts without building.

    Plans are stored in the bundle per GPU, TensorRT version, precision and number of slots; existing ones are only
    verified. The table shows the actual precision of the matrix and convolution layers.

    Example: vbench build bundles/frameexit_r50 --engine trt --precision fp16 --slots 32
    """
    from ..runtime.bundle.bundle import open_bundle
    from ..runtime.engines.trt.load import build_plans
    from .run import bundle_or_only

    if engine.engine != _BUILDS:
        raise UsageError(f"the {engine.engine} engine does not require a build", f"omit --engine, or use {_BUILDS}")
    opened = open_bundle(bundle_or_only(bundle))
    with stages() as show_stage:
        plans = list(build_plans(opened, replace(engine, slots=slots, say=show_stage), force=force))
    print_json(_document(opened.path, plans)) if as_json else print_lines(_table(plans).split("\n"))


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

    rows = [("part", "matrix and convolution layers", "", "seconds", "MB")]
    for part, plan, seconds, built in plans:
        state = "built" if built else "cached"
        megabytes = plan.record["size_bytes"] / 1e6
        rows.append((part, summary(plan.layers), state, f"{seconds:.1f}", f"{megabytes:.2f}"))
    return aligned(rows, left=3)
