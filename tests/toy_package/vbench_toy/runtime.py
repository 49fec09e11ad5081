"""Runtime of the toy package: a family with two steps of different cost, an engine, a policy, a schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.bundle.manifest import Manifest
from vbench.runtime.engines.base import ENGINES, Engine, EngineOptions, Handle
from vbench.runtime.inputs.base import ReadCost, Reader, open_source, read_frame
from vbench.runtime.inputs.prefetch import Prefetcher
from vbench.runtime.networks.base import Network
from vbench.runtime.networks.family import Family, ResolvedPolicy, StepSpec, WarmUp
from vbench.runtime.policies.base import Candidate, Decision, Evidence, Grid, Policy, SweepTrace
from vbench.runtime.policies.choice import PolicyChoice
from vbench.runtime.policies.confidence import confidence_and_entropy
from vbench.runtime.policies.first_threshold import DatasetDefaults
from vbench.runtime.policies.gates import FrameExitPolicy
from vbench.runtime.policies.rules import Confidence, Fixed
from vbench.runtime.scheduler.decision import StepDecision
from vbench.runtime.scheduler.options import StreamOptions
from vbench.runtime.scheduler.program import StepProgram, StepRequest
from vbench.runtime.scheduler.schedules import InFlight, SlotMove

STEPS = ("small", "large")


class ToyManifest(Manifest):
    """Two parts in addition to the preprocessing."""

    family: Literal["toy"] = "toy"
    default_confidence: float

    def needed_parts(self) -> set[str]:
        return super().needed_parts() | set(STEPS)


class ToyReader:
    """Reads the middle frame for both steps."""

    def __init__(self, engine: Engine, clip: object) -> None:
        self.cost = ReadCost()
        self._engine, self._source = engine, open_source(clip)
        self._position = len(self._source) // 2
        self._source.expect([self._position])
        self._pixels: Handle = None

    def read(self, step: int, out: Handle | None = None) -> Handle:
        if self._pixels is None:
            self.cost.frames_read += 1
            frame = read_frame(self._source, self._position, self.cost)
            self._pixels = self._engine.run("preprocess", self._engine.put(np.ascontiguousarray(frame[None])))
        if out is None:
            return self._pixels
        self._engine.copy(self._pixels, out)
        return out

    def close(self) -> None:
        self._source.close()


@dataclass(frozen=True)
class ToyPending:
    """Logits by slot, on the host."""

    policy: Policy
    requests: Sequence[StepRequest]
    logits: Mapping[int, Any]
    macs: Mapping[int, int]

    def resolve(self) -> dict[int, StepDecision]:
        return {request.slot: self._decision(request) for request in self.requests}

    def _decision(self, request: StepRequest) -> StepDecision:
        logits, macs = self.logits[request.slot], self.macs[request.slot]
        if request.step == len(STEPS):
            return StepDecision(ends=True, gate=None, logits=logits, score=None, macs=macs)
        confidence, entropy = confidence_and_entropy(logits)
        request.history.labels += (int(logits.argmax()),)
        evidence = Evidence(request.step, None, confidence, entropy, request.history.labels, request.history.name)
        return StepDecision(bool(self.policy.exits(evidence)), None, logits, confidence, macs)


class ToyProgram(StepProgram):
    """Runs each row separately."""

    steps = len(STEPS)
    has_heads = False

    def __init__(self, engine: Engine, manifest: ToyManifest, policy: Policy, options: StreamOptions) -> None:
        self.class_names = manifest.class_names
        self._engine, self._manifest, self._policy = engine, manifest, policy
        size = manifest.preprocessing.input_size
        self._pixels = engine.zeros((options.slots, 3, size, size))
        self._outputs: dict[int, Handle] = {}

    def move(self, move: SlotMove, *, loaded: bool) -> None:
        if loaded:
            self._engine.copy(self._row(move.source), self._row(move.target))

    def load(self, slot: int, step: int, source: Prefetcher) -> None:
        source.pixels(step, self._engine, self._row(slot))

    def backbone(self, rows: Sequence[StepRequest]) -> None:
        self._outputs = {row.slot: self._engine.run(STEPS[row.step - 1], self._row(row.slot)) for row in rows}

    def launch(self, requests: Sequence[StepRequest], rows: int) -> ToyPending:
        logits = {request.slot: self._engine.get(self._outputs[request.slot])[0].copy() for request in requests}
        macs = {request.slot: self._manifest.parts[STEPS[request.step - 1]].macs for request in requests}
        return ToyPending(self._policy, requests, logits, macs)

    def frames_used(self, exit_step: int) -> int:
        return 1

    def _row(self, slot: int) -> Handle:
        return self._engine.rows(self._pixels, slot, slot + 1)


class ToyFamily(Family[ToyManifest]):
    """A confidence cascade of two networks."""

    name = "toy"
    manifest = ToyManifest
    cumulative = False

    def steps(self, manifest: ToyManifest) -> tuple[StepSpec, ...]:
        return tuple(StepSpec(int(place == 0), manifest.parts[part].macs) for place, part in enumerate(STEPS))

    def accepts(self, policy: type[Policy]) -> bool:
        return not policy.selects_steps and policy is not FrameExitPolicy

    def resolve(
        self, manifest: ToyManifest, choice: PolicyChoice, dataset: DatasetDefaults | None = None
    ) -> ResolvedPolicy:
        choice.require_only(manifest.network, "policy")
        return ResolvedPolicy(choice.policy or Confidence(manifest.default_confidence), {})

    def all_steps(self, frames: Sequence[int]) -> Policy:
        return Fixed(len(frames))

    def program(self, engine: Engine, manifest: ToyManifest, policy: Policy, options: StreamOptions) -> ToyProgram:
        return ToyProgram(engine, manifest, policy, options)

    def open_input(self, engine: Engine, manifest: ToyManifest, policy: Policy, clip: object) -> Reader:
        return ToyReader(engine, clip)

    def policy_for_clip(self, network: Network, clip: object, frames: int | None, budget_ms: float | None) -> Policy:
        return network.policy

    def warm_up(self, network: Network) -> tuple[WarmUp, ...]:
        return (WarmUp(Fixed(len(STEPS)), np.zeros((1, 16, 16, 3), np.uint8), 1),)

    def describe(self, manifest: ToyManifest) -> tuple[tuple[str, str], ...]:
        return (("cascade", f"small, then large where the confidence is up to {manifest.default_confidence:g}"),)


FAMILY = ToyFamily()


@dataclass(frozen=True)
class EvenLabel(Policy):
    """Exits if the most probable class is even and the confidence is above ``threshold``."""

    kind: ClassVar[str] = "even_label"

    threshold: float

    def needs_logits(self, step: int) -> bool:
        return True

    def needs_gate(self, step: int) -> bool:
        return False

    def exits(self, evidence: Evidence) -> Decision:
        assert evidence.confidence is not None
        even: Decision = np.logical_and(np.asarray(evidence.labels[-1]) % 2 == 0, evidence.confidence > self.threshold)
        return even

    def label(self) -> str:
        return f"even label above {self.threshold:g}"

    @classmethod
    def grids(cls) -> Mapping[str, Grid]:
        return {"even labels": _grid}


def _grid(trace: SweepTrace, points: int) -> list[Candidate]:
    return [Candidate("even labels", EvenLabel(value / 4)) for value in range(4)]


class Pairs(InFlight):
    """The schedule inflight under another name."""

    name = "pairs"


class ToyEngine:
    """ONNX Runtime under another name."""

    name = "toy"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def describe(self) -> dict[str, str]:
        return {**self._engine.describe(), "toy": "yes"}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


def load_engine(bundle: Bundle[Manifest], options: EngineOptions) -> Engine:
    """Load the engine."""
    return ToyEngine(ENGINES.get("ort")(bundle, options))  # type: ignore[return-value]
