"""The model.py of a TSM, TEA, SlowFast or Uniformer: a frame count, or several in turn until the answer is sure.

`sources.model_source` puts what follows the mark after ``bls_common.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .bls_common import Clip, Network, RequestError, certainty, fractions

# mark: from here on


class TritonPythonModel(Network):
    """Clips that are to be seen at the same count share its call; counts ascend in all cascades."""

    def run(self, clips: list[Clip]) -> None:
        """Run all clips to their ends."""
        together = max(1, self.settings["rows"] // self.settings["views"])
        for count in self.settings["frame_counts"]:
            active = [clip for clip in clips if clip.logits is None and count in clip.policy["counts"]]
            for start in range(0, len(active), together):
                self.run_count(active[start : start + together], count)

    def run_count(self, active: list[Clip], count: int) -> None:
        """Run clips at one count, and note the answers of those that end there."""
        views = self.settings["views"]
        pixels = np.concatenate([self.pixels(clip.frames, count) for clip in active])
        found = self.parts.run(f"frames_{count:02d}", pixels)
        for place, clip in enumerate(active):
            logits = found[place * views : (place + 1) * views].mean(axis=0)
            counts = clip.policy["counts"]
            step = counts.index(count) + 1
            # A value equal to the threshold, or a NaN, goes on.
            if step == len(counts) or certainty(logits)[0] > clip.policy["threshold"]:
                clip.finish(logits, step, sum(counts[:step]))

    def pixels(self, frames: Any, count: int) -> Any:
        """Return float32 ``[views, count, 3, h, w]`` of frames uint8 ``[T, H, W, 3]``; repeats are made once."""
        positions = positions_of(self.settings["sampling"], len(frames), count)
        places = sorted(set(positions))
        found = self.parts.run("preprocess", frames[places])
        clip = found[[places.index(position) for position in positions]]
        return np.ascontiguousarray(clip.swapaxes(0, 1))

    def policy_of(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return the repository's policy, or the counts and the confidence that a request brings."""
        for name in parameters:
            if name not in ("frames", "cascade"):
                raise RequestError(f"{name}: this model has no gates, give frames or cascade")
        if not parameters:
            return dict(self.settings["policy"])
        known = self.settings["frame_counts"]
        counts = known if "frames" not in parameters else frame_counts(parameters["frames"], known)
        if "cascade" not in parameters and len(counts) > 1:
            raise RequestError(f"frames {counts} without a rule to choose, give one, or a confidence as cascade")
        numbers = fractions("cascade", parameters.get("cascade", 1))
        if len(numbers) != 1:
            raise RequestError(f"cascade: {len(numbers)} numbers, give 1")
        return {"counts": counts, "threshold": numbers[0]}


def frame_counts(value: Any, known: list[int]) -> list[int]:
    """Return the counts of a parameter: one, or several in a text, joined by commas."""
    try:
        counts = [int(number) for number in str(value).split(",")]
    except ValueError:
        raise RequestError(f"frames {value}: not a whole number") from None
    if counts != sorted(set(counts)) or not set(counts) <= set(known):
        raise RequestError(f"frames {value}: give some of {known}, the smallest first")
    return counts


def positions_of(sampling: str, length: int, count: int) -> list[int]:
    """Return which of ``length`` frames a clip of ``count`` is made of; frames that are so many are taken as they are.

    The order of the floating-point operations is the originals': another one moves a frame here and there.
    """
    if length == count:
        return list(range(count))
    if sampling == "segment_centres":
        tick = length / count
        return [0] * count if length < count else [int(tick / 2.0 + tick * place) for place in range(count)]
    segment = (length - 1) / count
    return [round(segment * place) + int(segment / 2) for place in range(count)]
