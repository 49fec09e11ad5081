"""Values that are not finite: an error for their clip in every schedule, and no effect on the other clips."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from tests.scripted import ScriptedEngine, ScriptedReader, stream
from vbench.errors import CheckError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.bundle.manifest import FrameExitManifest
from vbench.runtime.policies.gates import FrameExitPolicy
from vbench.runtime.scheduler.decision import StepDecision
from vbench.runtime.scheduler.finite import checked
from vbench.runtime.scheduler.options import StreamOptions

EXITS = [3, 10, 1, 4, 7, 2, 10, 3]
OVERFLOWING = 4  # the clip, which would end at step 7
OPTIONS = [
    StreamOptions(),
    StreamOptions(prefetch=1, sync="speculative"),
    StreamOptions("lockstep", slots=3),
    StreamOptions("compact", slots=3, prefetch=1, sync="speculative"),
    StreamOptions("inflight", slots=3),
    StreamOptions("inflight", slots=3, prefetch=2, sync="speculative"),
]


class OverflowingEngine(ScriptedEngine):
    """Computes ``value`` in one part for one clip at one step."""

    def __init__(self, manifest: FrameExitManifest, part: str, step: int, value: float) -> None:
        super().__init__(manifest, EXITS)
        self.part, self.step, self.value = part, step, value

    def row(self, part: str, *inputs: np.ndarray) -> np.ndarray:
        if part == "accumulator":
            features, state = inputs
            return np.maximum(np.where(np.isfinite(features), features, 0), state)  # drops a NaN, as OpenVINO does
        result = super().row(part, *inputs)
        if part != self.part:
            return result
        if part == "backbone":
            here = inputs[0][0, 0, 0] == OVERFLOWING + 1 and inputs[0][1, 0, 0] == self.order[self.step - 1]
            return np.where(result > 0, result, self.value) if here else result
        here = inputs[-1] == self.step and self.clip(inputs[0], self.step) == OVERFLOWING
        return np.full_like(result, self.value) if here else result


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: f"{options.schedule}-{options.sync}")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("part", "step", "words"),
    [
        ("gates", 2, "step 2: the gate value is not finite"),
        ("gates", 7, "step 7: the gate value is not finite"),
        ("classifiers", 7, "step 7: the logits are not finite"),
        ("classifiers", 1, "step 1: the logits are not finite"),
        ("backbone", 4, "step 4: the features are not finite"),
    ],
)
def test_one_clip_fails_and_its_neighbors_do_not(
    tiny_bundle: Bundle[FrameExitManifest], part: str, step: int, words: str, value: float, options: StreamOptions
) -> None:
    manifest = tiny_bundle.manifest
    engine = OverflowingEngine(manifest, part, step, value)
    readers = [partial(ScriptedReader, manifest, clip) for clip in range(len(EXITS))]
    results = {result.clip: result for result in stream(engine, manifest, FrameExitPolicy(0.95), readers, options)}
    assert sorted(results) == list(range(len(EXITS)))
    failed = results.pop(OVERFLOWING)
    assert isinstance(failed.error, CheckError)
    assert failed.error.message == f"{words} ({'NaN' if np.isnan(value) else f'{value:g}'})"
    assert (failed.prediction, failed.steps) == (None, ())
    for clip, result in results.items():
        assert result.prediction is not None
        assert result.prediction.exit_step == EXITS[clip]
        np.testing.assert_array_equal(result.prediction.logits, engine.logits(clip, EXITS[clip]).astype(np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_any_decision_is_checked(value: float) -> None:
    for logits in (np.ones(3, np.float32), np.array([3e38, -3e38, 0], np.float32)):
        sound = StepDecision(ends=False, gate=0.5, logits=logits, score=0.5, macs=1)
        assert checked(sound, 1) is sound
    wrong = np.array([1, value, 1], np.float32)
    for decision in (
        StepDecision(ends=False, gate=None, logits=wrong, score=None, macs=1),
        StepDecision(ends=True, gate=value, logits=np.ones(3, np.float32), score=None, macs=1),
        StepDecision(ends=False, gate=None, logits=None, score=value, macs=1),
    ):
        found = checked(decision, 2)
        assert found.ends
        assert isinstance(found.error, CheckError)
        assert checked(found, 2) is found
