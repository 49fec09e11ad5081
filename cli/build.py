"""``vbench build``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from ..runtime.engines.options import PLAN_ENGINES, EngineOptions
from .common.engine_options import require_precision
from .common.options import Changed, Options, takes
from .common.output import aligned, print_json, print_lines, stages

if TYPE_CHECKING:
    from ..runtime.engines.trt.plan_source import PartPlan


@takes(
    engine=Options(
        EngineOptions,
        # execution options, which do not affect a build
        without=("threads", "replicas", "checkpoint", "provider", "graphs", "max_flips"),
        changed={
            "engine": Changed(PLAN_ENGINES[0], f"Engine to build for; only {' and '.join(PLAN_ENGINES)} need a build."),
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
    for_gpu: Annotated[
        str | None,
        typer.Option(
            metavar="CAPABILITIES",
            help="With TensorRT-RTX: compute capabilities to build for, such as sm_89 or sm_86,sm_120. Needs no GPU.",
            show_default="this machine's GPU",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Rebuild existing plans.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Build a bundle's TensorRT plans, so that the first run starts without building.

    Plans are stored in the bundle per GPU, TensorRT version, precision and number of slots; existing ones are only
    verified. The table shows the precision of the matrix and convolution layers: of the kernels that TensorRT selected,
    or of the network definition that TensorRT-RTX must follow.

    TensorRT-RTX can build for GPUs of compute capability 8.0, 8.6, 8.9, 12.0 and 12.1 on a machine that has none: copy
    the bundle to the machine that runs it, and accept its plans there with vbench trust. NVIDIA's license does not
    permit publishing plans.

    Example: vbench build bundles/frameexit_r50 --engine trt --precision fp16 --slots 32

    For other GPUs: vbench build bundles/frameexit_r50 --engine trt-rtx --for-gpu sm_89
    """
    from ..runtime.bundle.bundle import open_bundle
    from ..runtime.engines.trt.ahead import build_plans_ahead
    from ..runtime.engines.trt.flavor import parse_capabilities
    from ..runtime.engines.trt.load import build_plans
    from .run import bundle_or_only

    if engine.engine not in PLAN_ENGINES:
        hint = f"omit --engine, or use {' or '.join(PLAN_ENGINES)}"
        raise UsageError(f"the {engine.engine} engine does not require a build", hint)
    require_precision(engine, "build")
    capabilities = None if for_gpu is None else parse_capabilities(for_gpu)
    opened = open_bundle(bundle_or_only(bundle))
    with stages() as show_stage:
        options = replace(engine, slots=slots, say=show_stage)
        if capabilities is None:
            plans = build_plans(opened, options, force=force)
        else:
            plans = build_plans_ahead(opened, options, capabilities, force=force)
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

    rows = [("part", "GPU", "matrix and convolution layers", "", "seconds", "MB")]
    for part, plan, seconds, built in plans:
        state = "built" if built else "cached"
        megabytes = plan.record["size_bytes"] / 1e6
        gpu = f"sm_{plan.record['compute_capability']}"
        rows.append((part, gpu, summary(plan.layers), state, f"{seconds:.1f}", f"{megabytes:.2f}"))
    return aligned(rows, left=4)
