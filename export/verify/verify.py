"""Compare an exported bundle with PyTorch before it is published.

Three kinds of clips (noise, smooth gradients, hard-edged shapes) run through each part with inputs computed by PyTorch,
which localizes errors, and then end to end with early exit, where the exit step must be the same. The manifest records
the differences; a difference above the tolerance, or a NaN, makes the export fail. At lower precisions than fp32,
differences are expected: they are recorded, and only an unusable result makes the export fail.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import CheckError
from ...runtime.bundle.bundle import Bundle
from ...runtime.bundle.manifest import (
    CLASSIFIERS,
    Check,
    Difference,
    FlexibleManifest,
    FrameExitManifest,
    Manifest,
    frames_part,
)
from ...runtime.engines.base import Array, Engine
from ...runtime.networks.base import Network
from ...runtime.policies.base import Policy
from .tolerances import (
    CLIPS,
    HEIGHT_WIDTH,
    check_clips,
    check_difference,
    difference,
    larger,
    run_both,
)

_PREPROCESS = "preprocess"


class EndToEndDifference(NamedTuple):
    """Comparison of complete clips, as fields of ``Check``."""

    exit_steps_changed: int
    classes_changed: int
    logits: Difference


def verify(
    bundle: Bundle[FrameExitManifest],
    reference: Engine,
    candidate: Engine,
    policy: Policy,
    max_error: float,
    precision: str = "fp32",
    gpu_forms: Engine | None = None,
) -> Check:
    """Run FrameExit on both engines and return the differences.

    Args:
        gpu_forms: runs the graphs for GPUs, which are compared as well.
        policy: exit policy.
        max_error: largest difference allowed in fp32, relative to the largest magnitude of a part's output (or
            absolute, if that magnitude is below one).
        precision: precision of ``candidate``.

    Raises:
        CheckError: in fp32, a difference is larger than ``max_error`` or an exit step differs; in any other precision,
            a result is not finite, or a part's output is as far from the reference as an output of zeros.
    """
    manifest = bundle.manifest
    frames = manifest.frames * manifest.clip_frames
    # Steps that read clips cost many times more, and one frame size is enough for the network itself.
    sizes = HEIGHT_WIDTH if manifest.clip_frames == 1 else HEIGHT_WIDTH[:1]
    clips = [clip for height, width in sizes for clip in check_clips(frames, height, width)]
    parts: dict[str, Difference] = {}
    for name, expected, actual in _all_parts(manifest, reference, candidate, gpu_forms, clips):
        parts[name] = larger(parts.get(name), difference(expected, actual))
    for name, part_difference in parts.items():
        check_difference(name, part_difference, max_error, precision)
    whole = compare_end_to_end(bundle, (reference, candidate), policy, clips)
    if precision == "fp32":
        check_difference("logits at exit", whole.logits, max_error, precision)
        if whole.exit_steps_changed:
            raise CheckError("exit steps differ from PyTorch's on the check clips", "report this as a vbench bug")
    elif not math.isfinite(whole.logits.absolute):
        raise CheckError(f"the logits are not finite in {precision}", f"omit {precision}")
    return Check(
        engine=candidate.name,
        max_error=max_error if precision == "fp32" else None,
        parts=parts,
        clips=len(clips),
        **whole._asdict(),
    )


def _all_parts(
    manifest: FrameExitManifest,
    reference: Engine,
    candidate: Engine,
    gpu_forms: Engine | None,
    clips: Sequence[NDArray[np.uint8]],
) -> Iterator[tuple[str, Array, Array]]:
    """Run ``clips`` through all steps, and frames of the other sizes through preprocessing only."""
    for start in range(0, len(clips), CLIPS):
        yield from _parts(manifest, reference, candidate, gpu_forms, np.stack(clips[start : start + CLIPS]))
    for height, width in HEIGHT_WIDTH[len(clips) // CLIPS :]:
        for clip in check_clips(manifest.clip_frames, height, width):
            yield _PREPROCESS, *run_both(reference, candidate, _PREPROCESS, clip)


def _parts(
    manifest: FrameExitManifest,
    reference: Engine,
    candidate: Engine,
    gpu_forms: Engine | None,
    clips: NDArray[np.uint8],
) -> Iterator[tuple[str, Array, Array]]:
    """Run clips ``[n, frames, H, W, 3]`` through all steps, feeding both engines the reference's intermediate results.

    A step that reads a clip receives adjacent frames. Gates and classifiers evaluate the states of all steps together.
    """

    def compared(part: str, *inputs: Array) -> tuple[str, Array, Array]:
        return part, *run_both(reference, candidate, part, *inputs)

    states: list[Array] = [np.zeros((len(clips), *manifest.state_shape), np.float32)]
    for place in manifest.frame_order:
        read = clips[:, place * manifest.clip_frames : (place + 1) * manifest.clip_frames]
        frames = np.ascontiguousarray(read).reshape(-1, *clips.shape[2:])
        yield (pixels := compared(_PREPROCESS, frames))
        yield (features := compared("backbone", pixels[1].reshape(len(clips), *manifest.pixels_shape)))
        yield (accumulated := compared("accumulator", features[1], states[-1]))
        states.append(accumulated[1])
    for part in manifest.head_parts:
        inputs = _head_inputs(states)
        if part == CLASSIFIERS:
            del inputs["previous"]
        yield compared(part, *inputs.values())
        if gpu_forms is not None:
            yield part, *run_both(reference, gpu_forms, part, *inputs.values())


def _head_inputs(states: Sequence[Array]) -> dict[str, Array]:
    """Return the inputs of the gates for the states of all steps, given the first step's previous state as well."""
    steps = np.arange(1, len(states), dtype=np.float32)
    return {
        "state": np.concatenate(states[1:]),
        "previous": np.concatenate(states[:-1]),
        "step": np.repeat(steps, len(states[0]))[:, None],
    }


def compare_end_to_end(
    bundle: Bundle[Manifest], engines: tuple[Engine, Engine], policy: Policy, clips: Sequence[NDArray[np.uint8]]
) -> EndToEndDifference:
    """Run clips, uint8 ``[frames, H, W, 3]``, end to end under a policy on both the reference and the candidate."""
    reference, candidate = (Network(bundle, engine, policy) for engine in engines)
    steps, classes, worst = 0, 0, Difference(absolute=0, relative=0)
    for clip in clips:
        expected, actual = reference.predict(clip), candidate.predict(clip)
        steps += expected.exit_step != actual.exit_step
        classes += expected.label != actual.label
        worst = larger(worst, difference(expected.logits, actual.logits))
    return EndToEndDifference(steps, classes, worst)


def verify_counts(
    manifest: FlexibleManifest, reference: Engine, candidate: Engine, max_error: float, precision: str = "fp32"
) -> Check:
    """Run a frame-count network on both engines at every frame count, and return the differences.

    Raises:
        CheckError: in fp32, a difference exceeds ``max_error``, or the class of a clip differs; in any other precision,
            a part's output is not finite, or as far from the reference as an output of zeros.
    """
    parts: dict[str, Difference] = {}
    classes = 0
    for count in manifest.frame_counts:
        for name, expected, actual in _parts_at(count, reference, candidate):
            parts[name] = larger(parts.get(name), difference(expected, actual))
            if name != _PREPROCESS:
                classes += int(expected.argmax()) != int(actual.argmax())
    for name, part_difference in parts.items():
        check_difference(name, part_difference, max_error, precision)
    if classes and precision == "fp32":
        raise CheckError("classes differ from PyTorch's on the check clips", "report this as a vbench bug")
    return Check(
        engine=candidate.name,
        max_error=max_error if precision == "fp32" else None,
        parts=parts,
        clips=CLIPS * len(manifest.frame_counts),
        exit_steps_changed=0,
        classes_changed=classes,
        logits=max((parts[frames_part(count)] for count in manifest.frame_counts), key=lambda each: each.relative),
    )


def _parts_at(count: int, reference: Engine, candidate: Engine) -> Iterator[tuple[str, Array, Array]]:
    pixels = []
    for height, width in HEIGHT_WIDTH:
        for clip in check_clips(count, height, width):
            expected, actual = run_both(reference, candidate, _PREPROCESS, clip)
            yield _PREPROCESS, expected, actual
            pixels.append(expected[:, 0])
    # One frame size is enough for the network itself.
    for clip_pixels in pixels[:CLIPS]:
        yield frames_part(count), *run_both(reference, candidate, frames_part(count), clip_pixels[None])
