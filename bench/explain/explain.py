"""Explain one prediction: the frames that a network used step by step, and the decisions of its policy.

The network runs the clip as ``Network.predict`` does, under a policy that delegates to the real one and records its
decisions. All gates and classifiers run, but no decision changes, so the exit step and the values match those of any
other run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ...names import valid_text
from ...runtime.bundle.manifest import Output
from ...runtime.inputs.base import Clip, NamedClip, OpenSource, named_clip, open_source
from ...runtime.inputs.reader_threads import call_bounded
from ...runtime.networks.base import Network
from ...runtime.policies.base import Decision, Evidence, Label, Policy, StepExplanation
from ...runtime.policies.confidence import probabilities_of
from ...runtime.policies.rules import RunAll
from ...runtime.scheduler.options import StreamOptions
from ...runtime.scheduler.results import Step
from ...runtime.video.dlpack import host_frame
from ...runtime.video.source import FrameSource
from .explanation import ClassScore, Explanation, StepView

TOP = 3
LAST = StepExplanation(ends=True, text="last frame")
_PICTURE_SIDE = 320  # longer side in pixels; more than a film strip needs


def explain(
    network: Network,
    clip: Clip | OpenSource | NamedClip,
    *,
    classes: Sequence[int] | None = None,
    everything: bool = False,
) -> Explanation:
    """Run one clip and record every step.

    Args:
        network: network with the policy to explain; each of its steps must build on the one before.
        clip: any frames that ``Network.predict`` accepts, or a function that opens them.
        classes: class indices of the video, if known.
        everything: also run the frames after the exit and record the decisions there.

    Raises:
        FrameError: the clip yields no frames that the network accepts.
    """
    known, manifest = named_clip(clip), network.bundle.manifest
    source = _FrameRecorder(call_bounded(lambda: open_source(known.clip)))
    notes = _RecordingPolicy(network.policy, everything)
    (result,) = network.with_policy(notes).stream([NamedClip(known.name, source)], StreamOptions())
    result.unwrap()
    decisions = (*notes.decisions, LAST)[: len(result.steps)]
    exit_step = next(number for number, decision in enumerate(decisions, start=1) if decision.ends)
    order = network.family.reading_order(manifest)
    names = manifest.class_names or tuple(f"class {number}" for number in range(manifest.classes))
    views = tuple(
        StepView(
            step=number,
            position=position,
            place=order[number - 1] + 1,
            gate=step.gate,
            decision=decision,
            top=_top(step, names, classes, manifest.output),
            picture=source.pictures[position],
        )
        for number, (step, decision, position) in enumerate(zip(result.steps, decisions, source.positions), start=1)
    )
    return Explanation(
        video=valid_text(known.name),
        bundle=network.bundle.name,
        engine=network.engine.name,
        policy=network.policy.record(),
        policy_label=network.policy.label(),
        true_classes=None if classes is None else tuple(names[label] for label in classes),
        length=len(source),
        sampled=network.steps,
        seen_share=manifest.preprocessing.input_size / manifest.preprocessing.resize_side,
        exit_step=exit_step,
        steps=views,
    )


def _top(step: Step, names: Sequence[str], classes: Sequence[int] | None, output: Output) -> tuple[ClassScore, ...]:
    assert step.logits is not None  # every classifier ran
    probabilities = probabilities_of(step.logits, output)
    # Ties keep class order, as in argmax.
    best = np.argsort(-probabilities, kind="stable")[:TOP].tolist()
    return tuple(
        ClassScore(label, names[label], float(probabilities[label]), None if classes is None else label in classes)
        for label in best
    )


class _RecordingPolicy(RunAll):
    """Run everything for one clip, delegate to ``policy``, and record its decision at each step."""

    records_gate_sets: ClassVar[bool] = False

    def __init__(self, policy: Policy, to_the_end: bool) -> None:
        self._policy, self._to_the_end = policy, to_the_end
        self._labels: tuple[Label, ...] = ()
        self.decisions: list[StepExplanation] = []

    @property
    def gate_set(self) -> str | None:
        return self._policy.gate_set

    def route(self, frames: Sequence[int]) -> tuple[int, ...]:
        return self._policy.route(frames)

    def exits(self, evidence: Evidence) -> Decision:
        self.decisions.append(self._policy.explain(self._requested_evidence(evidence)))
        return self.decisions[-1].ends and not self._to_the_end

    def _requested_evidence(self, evidence: Evidence) -> Evidence:
        """Drop evidence that the policy does not request, since a real run would not compute it."""
        gate = evidence.gate if self._policy.needs_gate(evidence.step) else None
        if not self._policy.needs_logits(evidence.step):
            return Evidence(evidence.step, gate, video=evidence.video)
        self._labels += evidence.labels[-1:]
        return replace(evidence, gate=gate, labels=self._labels)


class _FrameRecorder:
    """Frame source that records a thumbnail of every frame read, by position, and the order of the reads."""

    def __init__(self, source: FrameSource) -> None:
        self._source = source
        self.positions: tuple[int, ...] = ()
        self.pictures: dict[int, NDArray[np.uint8]] = {}
        self._length = len(source)

    @property
    def frames_decoded(self) -> int:
        return self._source.frames_decoded

    def __len__(self) -> int:
        return self._length

    def expect(self, positions: Sequence[int]) -> None:
        self.positions = tuple(positions)
        self._source.expect(positions)

    def read(self, position: int) -> NDArray[np.uint8]:
        frame = host_frame(self._source.read(position))
        self.pictures[position] = _thumbnail(frame)
        return frame

    def close(self) -> None:
        self._source.close()


def _thumbnail(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(frame))
    image.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE))
    return np.array(image)
