"""Run one clip step by step, as the original does: one frame, one decision, until something says stop.

Generic over engine, policy and where frames come from. A frame is asked for only when its step begins. The MACs are
tallied where a part is run, so that the cost is that of the parts that really ran.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .engine import Engine, Handle
from .manifest import Manifest
from .policy import Evidence, Policy


@dataclass(frozen=True)
class ClipResult:
    """Answer of one clip: float32 ``logits [classes]``, the 1-based exit step, and the cost of the parts that ran."""

    logits: NDArray[np.float32]
    exit_step: int
    macs: int


class _Tally:
    """Calls parts and adds up what they cost."""

    def __init__(self, engine: Engine, manifest: Manifest) -> None:
        self._engine = engine
        self._parts = manifest.parts
        self.macs = 0

    def run(self, part: str, *inputs: Handle) -> Handle:
        self.macs += self._parts[part].macs
        return self._engine.run(part, *inputs)


def run_clip(engine: Engine, manifest: Manifest, policy: Policy, pixels: Callable[[int], Handle]) -> ClipResult:
    """Run one clip; ``pixels(place)`` gives the normalised frame ``[1, 3, h, w]`` at a place in temporal order."""
    tally = _Tally(engine, manifest)
    state = engine.put(np.zeros((1, *manifest.state_shape), np.float32))
    for step, place in enumerate(manifest.frame_order, start=1):
        previous = state
        state = tally.run("accumulator", tally.run("backbone", pixels(place)), previous)
        logits = _decide(tally, engine, manifest, policy, step, state, previous)
        if logits is not None:
            return ClipResult(logits, step, tally.macs)
    raise AssertionError("the last step always exits")


def _decide(
    tally: _Tally, engine: Engine, manifest: Manifest, policy: Policy, step: int, state: Handle, previous: Handle
) -> NDArray[np.float32] | None:
    """Return the logits if the clip ends at this step, None if it goes on."""
    classifier = f"classifier_{step:02d}"

    def classify() -> NDArray[np.float32]:
        logits: NDArray[np.float32] = engine.get(tally.run(classifier, state))[0]
        return logits

    if step == manifest.frames:
        return classify()
    logits = classify() if policy.needs_confidence(step) else None
    confidence = None if logits is None else float(softmax(logits).max())
    gate = None
    if step > 1 and policy.needs_gate(step):
        gate = float(engine.get(tally.run(f"gate_{step:02d}", state, previous)).item())
    if not policy.exits(Evidence(step, gate, confidence)):
        return None
    return classify() if logits is None else logits


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the softmax over the last axis, in float32."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: NDArray[np.float32] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return probabilities
