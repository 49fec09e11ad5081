"""Load a part's engine from a trusted cached plan, or build a plan and verify its layers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ....errors import CheckError, MissingError, VbenchError
from ...bundle.bundle import Bundle
from ...bundle.manifest import Manifest
from ..device import TF32
from ..graph_check import check_signature, is_large_part
from .build import BuildJob, BuiltPlan, build_plan, engine_tensors, layer_counts
from .cuda_driver import Cuda
from .logger import logger_of, reason
from .plan_cache import BuildResult, Plan, PlanCache, Precision
from .precision_check import check_layers

_COMPUTED = {"int8-trt": "int8"}  # the compute precision of those files, where its name differs


class PartPlan(NamedTuple):
    """A part's plan, and the seconds spent building it (or verifying it, if it was cached)."""

    part: str
    plan: Plan
    seconds: float
    built: bool


@dataclass(frozen=True)
class PlanBuilder:
    """Builds the plans of a bundle, or finds them in the cache; needs no GPU if the flavor builds ahead.

    Attributes:
        trt: the bindings of the flavor.
        files: files in the bundle that the plans are built from.
        rows: maximum batch size.
        workspace_bytes: workspace memory for tactics; None for the library's default.
    """

    trt: Any
    bundle: Bundle[Manifest]
    precision: Precision
    files: dict[str, Path]
    rows: int
    plans: PlanCache
    workspace_bytes: int | None = None

    def part_plan(self, part: str, *, force: bool = False) -> PartPlan:
        """Return a part's plan, building it if there is no trusted plan.

        Raises:
            BundleError: TensorRT rejects the graph.
            CheckError: the plan does not compute in the requested precision.
        """
        before, builds = time.perf_counter(), 0

        def make(timings: bytes) -> BuildResult:
            nonlocal builds
            builds += 1
            return self._build(part, timings)

        plan = self.plans.plan(part, self.rows, make, force=force)
        return PartPlan(part, plan, time.perf_counter() - before, bool(builds))

    def _build(self, part: str, timings: bytes) -> BuildResult:
        target, wanted = self.plans.target, self._compute_precision(part)
        check = partial(check_signature, self.bundle, part)
        job = BuildJob(part, self.files[part], wanted, self.rows, target.sm, self.workspace_bytes, check)
        built = build_plan(target.flavor, self.trt, job, timings)
        layers = self._layers(part, built)
        check_layers(part, wanted, layers)
        return BuildResult(built, layers)

    def _layers(self, part: str, built: BuiltPlan) -> dict[str, int]:  # noqa: ARG002 - a loader names the part
        """Return the matrix-product layers by precision, as far as they are known without a GPU."""
        return built.network_layers

    def _compute_precision(self, part: str) -> str:
        """Return the compute precision of a part's layers; most parts are the same in all precisions."""
        manifest, (name, files) = self.bundle.manifest, self.precision
        if name == TF32:
            return TF32 if is_large_part(manifest.parts[part]) else "fp32"
        details = manifest.precision_details.get(files)
        return _COMPUTED.get(name, name) if details and part in details.parts else "fp32"


@dataclass(frozen=True, kw_only=True)
class PlanLoader(PlanBuilder):
    """Loads or builds the plans of a bundle on a GPU."""

    runtime: Any
    cuda: Cuda

    def engine(self, part: str) -> tuple[Any, PartPlan]:
        """Return a part's engine, rebuilding a trusted plan if TensorRT cannot load it."""
        for force in (False, True):
            found = self.part_plan(part, force=force)
            engine, why = self._deserialize(found.plan.content)
            if engine is not None:
                self._check_signature(part, engine)
                return engine, found
            if found.built or "memory" in why.lower():
                break
            self.plans.say(f"{part}: rebuilding the plan, which TensorRT cannot load: {why}")
        raise _load_error(part, why)

    def _layers(self, part: str, built: BuiltPlan) -> dict[str, int]:
        if self.plans.target.flavor.builds_ahead:
            return super()._layers(part, built)
        engine, why = self._deserialize(built.plan)
        if engine is None:
            raise _load_error(part, why)
        return layer_counts(self.trt, engine)

    def _deserialize(self, plan: bytes) -> tuple[Any, str]:
        """Return the engine, or None and the reason why it cannot be loaded."""
        with logger_of(self.trt).collector.collect() as messages:
            engine = self.runtime.deserialize_cuda_engine(plan)
        why = "" if engine is not None else self.plans.target.flavor.invalidity(self.trt, self.runtime, plan)
        return engine, f"{why}: {reason(messages)}" if why else reason(messages)

    def _check_signature(self, part: str, engine: Any) -> None:
        """Compare the engine's tensors with the manifest, whose order an engine does not necessarily preserve."""
        spec, found = self.bundle.manifest.parts[part], engine_tensors(self.trt, engine)
        names = [tensor.name for tensor in (*spec.inputs, spec.output)]
        ordered = sorted(found, key=lambda tensor: names.index(tensor.name) if tensor.name in names else len(names))
        check_signature(self.bundle, part, ordered)


def _load_error(part: str, why: str) -> VbenchError:
    if "memory" in why.lower():
        return MissingError(f"{part}: not enough GPU memory for its plan: {why}", "reduce --slots")
    return CheckError(f"{part}: TensorRT cannot load the plan that it built: {why}", "choose --engine ort")
