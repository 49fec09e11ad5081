"""Compare an exported bundle with PyTorch before anyone may use it.

Three kinds of clips (noise, smooth gradients, hard-edged shapes) go through every part with the inputs PyTorch
computed, so that an error is seen where it arises, and then through the whole with early exit, where the exit step
has to be the same. Differences are recorded in the manifest; a difference above the tolerance, or a NaN, fails the
export. In precisions below fp32 differences are what one pays: they are recorded, and only a result that is of no use
at all is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import CheckError
from ..runtime.engine import Array, Engine
from ..runtime.manifest import Check, Difference, Manifest
from ..runtime.outcome import Answer
from ..runtime.policy import Policy
from ..runtime.reader import open_reader
from ..runtime.stream import run_clip

_HEIGHT_WIDTH = ((256, 340), (171, 128))
_CLIPS = 3
_USELESS = 1.0  # as far off, relative to the largest value, as an output of zeros


class _Whole(NamedTuple):
    """How whole clips compare, as the fields of ``Check``."""

    exit_steps_changed: int
    classes_changed: int
    logits: Difference


def verify(
    manifest: Manifest, reference: Engine, candidate: Engine, policy: Policy, max_error: float, precision: str = "fp32"
) -> Check:
    """Run both engines and return the differences.

    Args:
        max_error: largest difference allowed in fp32, relative to the largest magnitude of a part's output (absolute
            where that is below one).
        precision: what ``candidate`` runs in.

    Raises:
        CheckError: in fp32 a difference is larger than ``max_error`` or an exit step differs; in another precision a
            result is not finite, or a part's output is as far from the reference as zeros would be.
    """
    clips = [clip for height, width in _HEIGHT_WIDTH for clip in check_clips(manifest.frames, height, width)]
    parts: dict[str, Difference] = {}
    for start in range(0, len(clips), _CLIPS):
        for name, wanted, found in _parts(manifest, reference, candidate, np.stack(clips[start : start + _CLIPS])):
            parts[name] = _larger(parts.get(name), difference(wanted, found))
    for name, found_difference in parts.items():
        _require(name, found_difference, max_error, precision)
    whole = _whole(manifest, reference, candidate, policy, clips)
    if precision == "fp32":
        _require("logits at exit", whole.logits, max_error, precision)
        if whole.exit_steps_changed:
            raise CheckError("exit steps differ from PyTorch's on the check clips", "report this network to vbench")
    elif not math.isfinite(whole.logits.absolute):
        raise CheckError(f"{precision}: the logits are not finite", f"leave {precision} out")
    return Check(
        engine=candidate.name,
        max_error=max_error if precision == "fp32" else None,
        parts=parts,
        clips=len(clips),
        **whole._asdict(),
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
) -> _Whole:
    steps, classes, worst = 0, 0, Difference(absolute=0, relative=0)
    for clip in clips:
        wanted, found = (_answer(e, manifest, policy, clip) for e in (reference, candidate))
        steps += wanted.exit_step != found.exit_step
        classes += int(wanted.logits.argmax()) != int(found.logits.argmax())
        worst = _larger(worst, difference(wanted.logits, found.logits))
    return _Whole(steps, classes, worst)


def _answer(engine: Engine, manifest: Manifest, policy: Policy, clip: NDArray[np.uint8]) -> Answer:
    return run_clip(engine, manifest, policy, partial(open_reader, engine, manifest, clip))[0]


def _larger(one: Difference | None, other: Difference) -> Difference:
    # NaN compares false with everything: once it is there it has to stay.
    if one is not None and (math.isnan(one.relative) or one.relative >= other.relative):
        return one
    return other


def _require(name: str, found: Difference, max_error: float, precision: str) -> None:
    if precision != "fp32":
        _require_use(name, found, precision)
    elif not found.relative <= max_error:
        raise CheckError(
            f"{name}: differs from PyTorch by {found.relative:.2g}, more than --max-error {max_error:g}",
            "nothing was written",
        )


def _require_use(name: str, found: Difference, precision: str) -> None:
    if not found.relative < _USELESS:
        raise CheckError(
            f"{name}: {precision} differs from PyTorch by {found.relative:.2g} of the largest value, no better than "
            "zeros would",
            f"leave {precision} out, or calibrate with other videos; nothing was written",
        )
