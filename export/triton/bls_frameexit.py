"""Second half of model.py for FrameExit: clips advance together, and each exits when its policy decides.

`model_source` appends the lines after the marker to ``bls_common.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .bls_common import Clip, Network, RequestError, certainty, fractions

# mark: from here on


class TritonPythonModel(Network):
    """A tick is one backbone call with the next frame of every active clip."""

    def run(self, clips: list[Clip]) -> None:
        """Run all clips to completion."""
        last, order = self.settings["frames"], self.settings["frame_order"]
        active = list(clips)
        for clip in active:
            clip.state = np.zeros(self.settings["state_shape"], np.float32)
        for step in range(1, last + 1):
            if not active:
                return
            self.advance(active, order[step - 1])
            self.decide(active, step, last)
            active = [clip for clip in active if clip.logits is None]

    def advance(self, active: list[Clip], place: int) -> None:
        """Feed each active clip its frame at position ``place``; frames after an exit are never preprocessed."""
        features = self.parts.run("backbone", self.pixels([clip.frames[place] for clip in active]))
        states = self.parts.run("accumulator", features, np.stack([clip.state for clip in active]))
        for clip, state in zip(active, states):
            clip.previous, clip.state, clip.gate, clip.step_logits = clip.state, state, None, None

    def pixels(self, frames: list[Any]) -> Any:
        """Preprocess uint8 frames ``[H, W, 3]`` into float32 ``[n, 3, h, w]``; frames of the same size share a call."""
        rows: list[Any] = [None] * len(frames)
        for shape in sorted({frame.shape for frame in frames}):
            places = [place for place, frame in enumerate(frames) if frame.shape == shape]
            pixels = self.parts.run("preprocess", np.stack([frames[place] for place in places]))
            for place, row in zip(places, pixels):
                rows[place] = row
        return np.stack(rows)

    def decide(self, active: list[Clip], step: int, last: int) -> None:
        """Run the gate and classifier for the clips whose policy needs them, and finish the clips that exit."""
        self.run_gates([clip for clip in active if 1 < step < last and needs_gate(clip.policy)], step)
        self.classify([clip for clip in active if step == last or needs_logits(clip.policy, step)], step)
        ending = [clip for clip in active if step == last or exits(clip, step)]
        self.classify([clip for clip in ending if clip.step_logits is None], step)
        for clip in ending:
            clip.finish(clip.step_logits, step, step)

    def run_gates(self, clips: list[Clip], step: int) -> None:
        """Record the gate values at the step; all clips use the repository's gate set."""
        if clips:
            suffix = self.settings["gate_suffixes"].get(self.settings["policy"].get("gate_set"), "")
            states, previous = np.stack([clip.state for clip in clips]), np.stack([clip.previous for clip in clips])
            for clip, value in zip(clips, self.parts.run(f"gate_{step:02d}{suffix}", states, previous)):
                clip.gate = float(value[0])

    def classify(self, clips: list[Clip], step: int) -> None:
        """Record the logits at the step."""
        if clips:
            logits = self.parts.run(f"classifier_{step:02d}", np.stack([clip.state for clip in clips]))
            for clip, row in zip(clips, logits):
                clip.step_logits = row

    def policy_of(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return the repository's policy, with any thresholds set in a request."""
        policy = dict(self.settings["policy"])
        for name, value in parameters.items():
            if name not in ("first_threshold", "gate_threshold") or policy["kind"] != "frameexit":
                raise RequestError(f"{name} does not apply to this model's policy, {policy['kind']}")
            numbers, gates = fractions(name, value), max(self.settings["frames"] - 2, 0)
            if len(numbers) != 1 and (name == "first_threshold" or len(numbers) != gates):
                raise RequestError(
                    f"{name} takes {'1 number' if name[0] == 'f' else f'1 or {gates} numbers'}, got {len(numbers)}"
                )
            policy |= {"first_threshold": numbers[0]} if name == "first_threshold" else {"gate_thresholds": numbers}
        return policy


def needs_gate(policy: dict[str, Any]) -> bool:
    """Return whether the gates must run before the decision."""
    return bool(policy["kind"] == "frameexit")


def needs_logits(policy: dict[str, Any], step: int) -> bool:
    """Return whether the classifier of this 1-based step must run before the decision."""
    return policy["kind"] in ("confidence", "entropy", "patience") or (policy["kind"] == "frameexit" and step == 1)


def exits(clip: Clip, step: int) -> bool:
    """Return whether the clip exits here; comparisons are strict, so equal values and NaN do not cause an exit."""
    policy = clip.policy
    kind, probabilities = policy["kind"], policy.get("probabilities", "softmax")
    if kind == "frameexit":
        value = certainty(clip.step_logits, probabilities)[0] if step == 1 else clip.gate
        return value is not None and value > threshold(policy, step)
    if kind == "confidence":
        return bool(certainty(clip.step_logits, probabilities)[0] > policy["threshold"])
    if kind == "entropy":
        return bool(certainty(clip.step_logits, probabilities)[1] < policy["threshold"])
    if kind == "patience":
        clip.labels.append(int(clip.step_logits.argmax()))
        same = clip.labels[-policy["times"] :]
        return len(same) == policy["times"] and len(set(same)) == 1
    return bool(kind == "fixed" and step >= policy["steps"])  # the remaining kind, "everything", never exits early


def threshold(policy: dict[str, Any], step: int) -> float:
    """Return the threshold for the confidence (at step 1) or for a step's gate value."""
    gates = policy["gate_thresholds"]
    if step == 1:
        return float(policy["first_threshold"])
    return float(gates[0] if len(gates) == 1 else gates[step - 2])
