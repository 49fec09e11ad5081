"""Step program for frame-count networks: clips at the same frame count share a call.

Clips in a cascade are at different frame counts, and each count is a separate part, so a tick makes one call per
required count. Nothing is computed for clips that have ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from math import prod
from typing import Final, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ..bundle.manifest import FlexibleManifest, Output, frames_part
from ..engines.base import Array, Engine, Handle
from ..inputs.prefetch import Prefetcher
from ..policies.base import Evidence, Policy
from ..policies.confidence import confidence_and_entropy
from ..scheduler.decision import ClipHistory, StepDecision
from ..scheduler.program import StepProgram, StepRequest
from ..scheduler.results import Logits
from ..scheduler.schedules import SlotMove


class _Views(NamedTuple):
    """Output rows with the logits of a video's views, the number of clips that they come from, and their MACs."""

    output: Handle
    start: int
    stop: int
    clips: int
    macs: int


class FrameCountProgram(StepProgram):
    """Runs the parts for ``counts``, the frame counts in a policy's route."""

    reads_ahead = False  # most clips end before the last count of a cascade
    has_heads = False

    def __init__(
        self, engine: Engine, manifest: FlexibleManifest, policy: Policy, counts: tuple[int, ...], slots: int
    ) -> None:
        self.steps = len(counts)
        self.class_names, self.output = manifest.class_names, manifest.output
        self._engine, self._manifest, self._policy, self._counts = engine, manifest, policy, counts
        self._batches = ClipBatches(engine, manifest, max(counts), slots)
        self._pixels: dict[int, Handle] = {}
        self._outputs: dict[int, _Views] = {}

    def move(self, move: SlotMove, *, loaded: bool) -> None:
        if loaded:
            self._pixels[move.target] = self._pixels.pop(move.source)

    def load(self, slot: int, step: int, source: Prefetcher) -> None:
        self._pixels[slot] = source.take(step)

    def backbone(self, rows: Sequence[StepRequest]) -> None:
        self._outputs = {}
        for step in sorted({row.step for row in rows}):
            slots = [row.slot for row in rows if row.step == step]
            self._outputs |= self._run(self._counts[step - 1], slots)

    def launch(self, requests: Sequence[StepRequest], rows: int) -> PendingLogits:  # noqa: ARG002
        outputs = {id(views.output): views.output for views in self._outputs.values()}
        waits = {key: self._engine.fetch(output) for key, output in outputs.items()}
        mean = _VIEW_MEANS[self._manifest.view_mean]
        return PendingLogits(self._policy, self.output, self.steps, requests, self._outputs, waits, mean)

    def frames_used(self, exit_step: int) -> int:
        return sum(self._counts[:exit_step])

    def _run(self, count: int, slots: Sequence[int]) -> dict[int, _Views]:
        clips = [self._pixels.pop(slot) for slot in slots]
        ends = np.cumsum([0, *(clip.shape[0] for clip in clips)]).tolist()
        part = frames_part(count)
        output = self._engine.run(part, clips[0] if len(clips) == 1 else self._batches.concatenate(clips, ends))
        macs, crops = self._manifest.parts[part].macs, len(self._manifest.preprocessing.crops)
        return {
            slot: _Views(output, start, stop, max(1, (stop - start) // crops), (stop - start) * macs)
            for slot, (start, stop) in zip(slots, pairwise(ends))
        }


class PendingLogits(NamedTuple):
    """Logits being copied to the host, and the policy that evaluates them."""

    policy: Policy
    output: Output
    steps: int
    requests: Sequence[StepRequest]
    outputs: Mapping[int, _Views]
    waits: Mapping[int, Callable[[], Array]]
    view_mean: Callable[[NDArray[np.float32]], Logits]

    def resolve(self) -> dict[int, StepDecision]:
        """Wait for the logits and return the decision for each slot.

        The mean over the views ranks classes in the same order as the sum used by the original implementations.
        """
        values = {key: cast(NDArray[np.float32], wait()) for key, wait in self.waits.items()}
        return {
            request.slot: self._decision(request, values[id(self.outputs[request.slot].output)])
            for request in self.requests
        }

    def _decision(self, request: StepRequest, values: NDArray[np.float32]) -> StepDecision:
        views = self.outputs[request.slot]
        logits = self.view_mean(values[views.start : views.stop])
        if request.step == self.steps:
            return StepDecision(ends=True, gate=None, logits=logits, score=None, macs=views.macs, views=views.clips)
        evidence = _evidence(request.step, request.history, logits, self.output)
        ends = bool(self.policy.exits(evidence))
        score = cast(float, evidence.confidence)
        return StepDecision(ends=ends, gate=None, logits=logits, score=score, macs=views.macs, views=views.clips)


def _mean_of_logits(views: NDArray[np.float32]) -> Logits:
    mean: Logits = views.mean(axis=0)
    return mean


def _mean_of_probabilities(views: NDArray[np.float32]) -> Logits:
    """Return the log of the views' mean softmax, computed in float64 because small probabilities matter."""
    if len(views) == 1:
        return _mean_of_logits(views)
    wide = views.astype(np.float64)
    probabilities = np.exp(wide - wide.max(axis=1, keepdims=True))
    mean = (probabilities / probabilities.sum(axis=1, keepdims=True)).mean(axis=0)
    logits: Logits = np.log(np.maximum(mean, np.finfo(np.float64).tiny)).astype(np.float32)
    return logits


_VIEW_MEANS: Final = {"logits": _mean_of_logits, "probabilities": _mean_of_probabilities}


def _evidence(step: int, history: ClipHistory, logits: Logits, output: Output) -> Evidence:
    confidence, entropy = confidence_and_entropy(logits, output)
    history.labels += (int(logits.argmax()),)
    return Evidence(step, None, confidence, entropy, history.labels, history.name)


class ClipBatches:
    """Buffer for concatenating clips at the same frame count into a batch."""

    def __init__(self, engine: Engine, manifest: FlexibleManifest, frames: int, slots: int) -> None:
        """Size the buffer, which is allocated on first use, for ``slots`` clips of up to ``frames`` frames."""
        size = manifest.preprocessing.input_size
        self._engine = engine
        self._elements = slots * manifest.views * frames * 3 * size * size
        self._memory: Handle = None

    def concatenate(self, clips: Sequence[Handle], ends: Sequence[int]) -> Handle:
        """Return clips ``[views, T, 3, h, w]`` as one batch; clips may differ in their number of views."""
        if self._memory is None:
            self._memory = self._engine.zeros((self._elements,))
        shape = (ends[-1], *clips[0].shape[1:])
        batch = self._engine.view(self._engine.rows(self._memory, 0, prod(shape)), shape)
        for clip, (start, stop) in zip(clips, pairwise(ends)):
            self._engine.copy(clip, self._engine.rows(batch, start, stop))
        return batch
