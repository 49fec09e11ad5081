"""Build plans ahead of time for named compute capabilities, on a machine that need not have a GPU."""

from __future__ import annotations

from collections.abc import Sequence

from ....errors import UsageError
from ...bundle.bundle import Bundle
from ...bundle.manifest import Manifest
from ..base import EngineOptions
from ..options import PLAN_ENGINES
from .flavor import TENSORRT_RTX
from .plan_source import PartPlan, PlanBuilder
from .setup import plan_setup


def build_plans_ahead(
    bundle: Bundle[Manifest], options: EngineOptions, capabilities: Sequence[str], *, force: bool = False
) -> list[PartPlan]:
    """Return every part's plan for every compute capability, such as ``89``; build those that do not exist.

    Raises:
        UsageError: the flavor builds only for the GPU of this machine.
        MissingError: the flavor is not installed, or cannot build for a compute capability.
        BundleError, CheckError: see ``load_engine``.
    """
    if options.device is not None:
        raise UsageError(f"--for-gpu cannot be combined with --device {options.device}", "omit one of them")
    if options.engine not in PLAN_ENGINES:
        raise UsageError(f"the {options.engine} engine has no plans", f"choose {' or '.join(PLAN_ENGINES)}")
    setup = plan_setup(bundle, options, options.engine)
    if not setup.flavor.builds_ahead:
        raise UsageError(
            "--for-gpu requires TensorRT-RTX: TensorRT times kernels on the GPU for which it builds",
            f"add --engine {TENSORRT_RTX.name}, or build on a machine with that GPU",
        )
    caches = [setup.plans(sm) for sm in dict.fromkeys(capabilities)]  # all of them are checked before the first build
    builders = [PlanBuilder(setup.trt, bundle, setup.precision, setup.graphs, plans.slots, plans) for plans in caches]
    return [builder.part_plan(part, force=force) for builder in builders for part in builder.files]
