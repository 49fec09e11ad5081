"""Compare an exported bundle with PyTorch before anyone may use it.

Three kinds of clips (noise, smooth gradients, hard-edged shapes) go through every part with the inputs PyTorch
computed, so that an error is seen where it arises, and then through the whole with early exit, where the exit step
has to be the same. Differences are recorded in the manifest; a difference above the tolerance, or a NaN, fails the
export.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from ..errors import CheckError
from ..runtime.engine import Array, Engine, Handle
from ..runtime.manifest import Check, Difference, Manifest
from ..runtime.policy import Policy
from ..runtime.sequential import run_clip

_HEIGHT_WIDTH = ((256, 340), (171, 128))
_CLIPS = 3


def verify(manifest: Manifest, reference: Engine, candidate: Engine, policy: Policy, max_error: float) -> Check:
    """Run both engines and return the differences.

    Args:
        max_error: largest difference allowed, relative to the largest magnitude of a part's output (absolute where that
            is below one).

    Raises:
        CheckError: a difference is larger than ``max_error``, or an exit step differs.
    """
    clips = [clip for height, width in _HEIGHT_WIDTH for clip in check_clips(manifest.frames, height, width)]
    parts: dict[str, Difference] = {}
    for start in range(0, len(clips), _CLIPS):
        for name, wanted, found in _parts(manifest, reference, candidate, np.stack(clips[start : start + _CLIPS])):
            parts[name] = _larger(parts.get(name), difference(wanted, found))
    for name, found_difference in parts.items():
        _require(name, found_difference, max_error)
    equal, logits = _whole(manifest, reference, candidate, policy, clips)
    _require("logits at exit", logits, max_error)
    if not equal:
        raise CheckError("exit steps differ from PyTorch's on the check clips", "report this network to vbench")
    return Check(
        engine=candidate.name,
        max_error=max_error,
        parts=parts,
        clips=len(clips),
        exit_steps_equal=equal,
        logits=logits,
    )


def check_clips(frames: int, height: int, width: int) -> list[NDArray[np.uint8]]:
    """Return noise, moving gradients and moving hard-edged shapes, each uint8 ``[frames, height, width, 3]``."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (frames, height, width, 3), dtype=np.uint8)
    time, y, x, channel = np.ogrid[0:frames, 0:height, 0:width, 0:3]
    gradient = (y * (channel + 1) + x + 9 * time) % 511
    shapes = ((x + 11 * time) // 23 + (y - 5 * time) // 17 + channel) % 4 * 85
    return [noise, np.abs(gradient - 255).astype(np.uint8), shapes.astype(np.uint8)]


def difference(wanted: Array, found: Array) -> Difference:
    """Return the largest difference: absolute, and relative to the largest magnitude wanted (at least one)."""
    absolute = (
        float(np.abs(wanted.astype(np.float64) - found.astype(np.float64)).max())
        if wanted.shape == found.shape
        else float("inf")
    )
    return Difference(absolute=absolute, relative=absolute / max(1.0, float(np.abs(wanted).max())))


def _parts(
    manifest: Manifest, reference: Engine, candidate: Engine, clips: NDArray[np.uint8]
) -> Iterator[tuple[str, Array, Array]]:
    """Force clips ``[n, frames, H, W, 3]`` through all steps; both engines get the reference's intermediate results."""

    def both(part: str, *inputs: Array) -> tuple[str, Array, Array]:
        wanted, found = (e.get(e.run(part, *(e.put(array) for array in inputs))) for e in (reference, candidate))
        return part, wanted, found

    state: Array = np.zeros((len(clips), *manifest.state_shape), np.float32)
    for step, place in enumerate(manifest.frame_order, start=1):
        previous = state
        yield (pixels := both("preprocess", np.ascontiguousarray(clips[:, place])))
        yield (features := both("backbone", pixels[1]))
        yield (accumulated := both("accumulator", features[1], previous))
        state = accumulated[1]
        if f"gate_{step:02d}" in manifest.parts:
            yield both(f"gate_{step:02d}", state, previous)
        yield both(f"classifier_{step:02d}", state)


def _whole(
    manifest: Manifest, reference: Engine, candidate: Engine, policy: Policy, clips: list[NDArray[np.uint8]]
) -> tuple[bool, Difference]:
    equal, worst = True, Difference(absolute=0, relative=0)
    for clip in clips:
        wanted, found = (run_clip(e, manifest, policy, _pixels(e, clip)) for e in (reference, candidate))
        equal = equal and wanted.exit_step == found.exit_step
        worst = _larger(worst, difference(wanted.logits, found.logits))
    return equal, worst


def _pixels(engine: Engine, clip: NDArray[np.uint8]) -> Callable[[int], Handle]:
    return lambda place: engine.run("preprocess", engine.put(clip[place][None]))


def _larger(one: Difference | None, other: Difference) -> Difference:
    # NaN compares false with everything: once it is there it has to stay.
    if one is not None and (math.isnan(one.relative) or one.relative >= other.relative):
        return one
    return other


def _require(name: str, found: Difference, max_error: float) -> None:
    if not found.relative <= max_error:
        raise CheckError(
            f"{name}: differs from PyTorch by {found.relative:.2g}, more than --max-error {max_error:g}",
            "nothing was written",
        )
