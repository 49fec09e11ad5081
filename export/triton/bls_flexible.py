"""Second half of model.py for TSM, TEA, SlowFast and Uniformer: runs clips at one frame count or in a cascade.

`model_source` appends the lines after the marker to ``bls_common.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .bls_common import Clip, Network, RequestError, certainty, fractions

# mark: from here on


class TritonPythonModel(Network):
    """Clips at the same frame count share one model call; counts ascend in every cascade."""

    def run(self, clips: list[Clip]) -> None:
        """Run all clips to completion."""
        together = max(1, self.settings["rows"] // self.settings["views"])
        for count in self.settings["frame_counts"]:
            active = [clip for clip in clips if clip.logits is None and count in clip.policy["counts"]]
            for start in range(0, len(active), together):
                self.run_count(active[start : start + together], count)

    def run_count(self, active: list[Clip], count: int) -> None:
        """Run clips at one frame count, and record the results of those that exit there."""
        views = self.settings["views"]
        pixels = np.concatenate([self.pixels(clip.frames, count) for clip in active])
        views_logits = self.parts.run(f"frames_{count:02d}", pixels)
        for place, clip in enumerate(active):
            logits = views_logits[place * views : (place + 1) * views].mean(axis=0)
            counts = clip.policy["counts"]
            step = counts.index(count) + 1
            # A value that is NaN, or equal to the threshold, does not exit.
            probabilities = self.settings["policy"].get("probabilities", "softmax")
            if step == len(counts) or certainty(logits, probabilities)[0] > clip.policy["threshold"]:
                clip.finish(logits, step, sum(counts[:step]))

    def pixels(self, frames: Any, count: int) -> Any:
        """Preprocess uint8 frames ``[T, H, W, 3]``, each only once, into float32 ``[views, count, 3, h, w]``."""
        positions = positions_of(self.settings["sampling"], len(frames), count)
        places = sorted(set(positions))
        pixels = self.parts.run("preprocess", frames[places])
        clip = pixels[[places.index(position) for position in positions]]
        return np.ascontiguousarray(clip.swapaxes(0, 1))

    def policy_of(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return the repository's policy, or one with the frame counts and confidence given in a request."""
        for name in parameters:
            if name not in ("frames", "cascade"):
                raise RequestError(f"{name} does not apply to this model, which has no gates; pass frames or cascade")
        if not parameters:
            return dict(self.settings["policy"])
        known = self.settings["frame_counts"]
        counts = known if "frames" not in parameters else frame_counts(parameters["frames"], known)
        if "cascade" not in parameters and len(counts) > 1:
            raise RequestError(f"frames {counts} requires a threshold; pass one count, or a confidence as cascade")
        numbers = fractions("cascade", parameters.get("cascade", 1))
        if len(numbers) != 1:
            raise RequestError(f"cascade takes 1 number, got {len(numbers)}")
        return {"counts": counts, "threshold": numbers[0]}


def frame_counts(value: Any, known: list[int]) -> list[int]:
    """Return the frame counts that a parameter contains: one, or several separated by commas."""
    try:
        counts = [int(number) for number in str(value).split(",")]
    except ValueError:
        raise RequestError(f"frames {value} is not an integer") from None
    if counts != sorted(set(counts)) or not set(counts) <= set(known):
        raise RequestError(f"frames {value} is not an ascending selection of {known}")
    return counts


def positions_of(sampling: str, length: int, count: int) -> list[int]:
    """Return the positions of the ``count`` frames sampled from ``length``; all of them if the numbers are equal.

    Floating-point operations are in the same order as in the originals; a different order would change some positions.
    This is a second copy of the rules in `vbench/runtime/video/sampling.py`, because vbench is not installed on the
    server; change both.
    """
    if length == count:
        return list(range(count))
    if sampling == "segment_centres":
        tick = length / count
        return [0] * count if length < count else [int(tick / 2.0 + tick * place) for place in range(count)]
    segment = (length - 1) / count
    return [round(segment * place) + int(segment / 2) for place in range(count)]
