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

from ...errors import CheckError
from ...runtime.bundle.manifest import Check, Difference, FrameExitManifest
from ...runtime.engines.base import Array, Engine
from ...runtime.inputs.frame_input import open_reader
from ...runtime.networks.frameexit_loop import run_clip
from ...runtime.policies.base import Policy
from ...runtime.scheduler.results import Answer
from .tolerances import CLIPS, HEIGHT_WIDTH, both, check_clips, difference, larger, require


class _Whole(NamedTuple):
    """How whole clips compare, as the fields of ``Check``."""

    exit_steps_changed: int
    classes_changed: int
    logits: Difference


def verify(
    manifest: FrameExitManifest,
    reference: Engine,
    candidate: Engine,
    policy: Policy,
    max_error: float,
    precision: str = "fp32",
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
    clips = [clip for height, width in HEIGHT_WIDTH for clip in check_clips(manifest.frames, height, width)]
    parts: dict[str, Difference] = {}
    for start in range(0, len(clips), CLIPS):
        for name, wanted, found in _parts(manifest, reference, candidate, np.stack(clips[start : start + CLIPS])):
            parts[name] = larger(parts.get(name), difference(wanted, found))
    for name, found_difference in parts.items():
        require(name, found_difference, max_error, precision)
    whole = _whole(manifest, reference, candidate, policy, clips)
    if precision == "fp32":
        require("logits at exit", whole.logits, max_error, precision)
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


def _parts(
    manifest: FrameExitManifest, reference: Engine, candidate: Engine, clips: NDArray[np.uint8]
) -> Iterator[tuple[str, Array, Array]]:
    """Force clips ``[n, frames, H, W, 3]`` through all steps; both engines get the reference's intermediate results."""

    def compared(part: str, *inputs: Array) -> tuple[str, Array, Array]:
        return part, *both(reference, candidate, part, *inputs)

    state: Array = np.zeros((len(clips), *manifest.state_shape), np.float32)
    for step, place in enumerate(manifest.frame_order, start=1):
        previous = state
        yield (pixels := compared("preprocess", np.ascontiguousarray(clips[:, place])))
        yield (features := compared("backbone", pixels[1]))
        yield (accumulated := compared("accumulator", features[1], previous))
        state = accumulated[1]
        if f"gate_{step:02d}" in manifest.parts:
            yield compared(f"gate_{step:02d}", state, previous)
        yield compared(f"classifier_{step:02d}", state)


def _whole(
    manifest: FrameExitManifest, reference: Engine, candidate: Engine, policy: Policy, clips: list[NDArray[np.uint8]]
) -> _Whole:
    steps, classes, worst = 0, 0, Difference(absolute=0, relative=0)
    for clip in clips:
        wanted, found = (_answer(e, manifest, policy, clip) for e in (reference, candidate))
        steps += wanted.exit_step != found.exit_step
        classes += int(wanted.logits.argmax()) != int(found.logits.argmax())
        worst = larger(worst, difference(wanted.logits, found.logits))
    return _Whole(steps, classes, worst)


def _answer(engine: Engine, manifest: FrameExitManifest, policy: Policy, clip: NDArray[np.uint8]) -> Answer:
    return run_clip(engine, manifest, policy, partial(open_reader, engine, manifest, clip))[0]
