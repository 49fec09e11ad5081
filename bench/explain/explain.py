"""Explain one prediction: what a network saw step by step, and what its policy decided.

The network runs the clip as ``Network.predict`` does, under a policy that calls the real one and takes notes: it lets
every gate and classifier run and changes no decision, so that exit step and values are those of any other run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...runtime.inputs.base import Clip, NamedClip, OpenSource, named_clip, open_source
from ...runtime.networks.base import Network
from ...runtime.policies.base import Decision, Evidence, Label, Policy, StepExplanation
from ...runtime.policies.confidence import softmax
from ...runtime.policies.rules import RunAll
from ...runtime.scheduler.options import StreamOptions
from ...runtime.scheduler.results import Step
from ...runtime.video.source import FrameSource
from .explanation import ClassScore, Explanation, StepView

TOP = 3
LAST = StepExplanation(ends=True, text="last frame")
_PICTURE_SIDE = 320  # pixels of the longer side: more than a film strip shows


def explain(
    network: Network,
    clip: Clip | OpenSource | NamedClip,
    *,
    classes: Sequence[int] | None = None,
    everything: bool = False,
) -> Explanation:
    """Run one clip and keep what it showed.

    Args:
        network: with the policy to explain; a step of it has to continue the one before it.
        clip: anything with frames that ``Network.predict`` takes, or a function that opens it.
        classes: of the video, where they are known.
        everything: also look at the frames after the exit, and say what they would have said.

    Raises:
        FrameError: the clip gives no frames that the network could take.
    """
    known, manifest = named_clip(clip), network.bundle.manifest
    source = _FrameRecorder(open_source(known.clip))
    notes = _RecordingPolicy(network.policy, everything)
    (result,) = network.with_policy(notes).stream([NamedClip(known.name, source)], StreamOptions())
    result.unwrap()
    decisions = (*notes.decisions, LAST)[: len(result.steps)]
    exit_step = next(number for number, said in enumerate(decisions, start=1) if said.ends)
    order = network.family.reading_order(manifest)
    names = manifest.class_names or tuple(f"class {number}" for number in range(manifest.classes))
    views = tuple(
        StepView(
            step=number,
            position=position,
            place=order[number - 1] + 1,
            gate=step.gate,
            decision=said,
            top=_top(step, names, classes),
            picture=source.pictures[position],
        )
        for number, (step, said, position) in enumerate(zip(result.steps, decisions, source.positions), start=1)
    )
    return Explanation(
        video=known.name,
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


def _top(step: Step, names: Sequence[str], classes: Sequence[int] | None) -> tuple[ClassScore, ...]:
    assert step.logits is not None  # every classifier ran
    probabilities = softmax(step.logits)
    # The first of equals first, as argmax has it.
    best = np.argsort(-probabilities, kind="stable")[:TOP].tolist()
    return tuple(
        ClassScore(label, names[label], float(probabilities[label]), None if classes is None else label in classes)
        for label in best
    )


class _RecordingPolicy(RunAll):
    """Lets everything run, calls ``policy`` and notes its decision on each step; for one clip."""

    def __init__(self, policy: Policy, to_the_end: bool) -> None:
        self._policy, self._to_the_end = policy, to_the_end
        self._labels: tuple[Label, ...] = ()
        self.decisions: list[StepExplanation] = []

    def route(self, frames: Sequence[int]) -> tuple[int, ...]:
        return self._policy.route(frames)

    def exits(self, evidence: Evidence) -> Decision:
        self.decisions.append(self._policy.explain(self._requested_evidence(evidence)))
        return self.decisions[-1].ends and not self._to_the_end

    def _requested_evidence(self, evidence: Evidence) -> Evidence:
        """Leave out what the policy has not asked for, as it would not be there in a run."""
        gate = evidence.gate if self._policy.needs_gate(evidence.step) else None
        if not self._policy.needs_logits(evidence.step):
            return Evidence(evidence.step, gate, video=evidence.video)
        self._labels += evidence.labels[-1:]
        return replace(evidence, gate=gate, labels=self._labels)


class _FrameRecorder:
    """A source that keeps small pictures of what was read, by position, and the order in which frames are read."""

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
        frame = self._source.read(position)
        self.pictures[position] = _thumbnail(frame)
        return frame

    def close(self) -> None:
        self._source.close()


def _thumbnail(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(frame))
    image.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE))
    return np.array(image)
