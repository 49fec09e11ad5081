"""Building blocks of the numerical checks: test clips, differences and tolerances."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ...errors import CheckError, MissingError
from ...runtime.bundle.bundle import Bundle
from ...runtime.bundle.manifest import Difference, Manifest
from ...runtime.engines.base import Array, Engine, EngineOptions, load_engine

HEIGHT_WIDTH = ((256, 340), (171, 128))
CLIPS = 3  # clips of each size
_USELESS = 1.0  # relative difference between an all-zero output and the reference


def load_candidate(bundle: Bundle[Manifest], precision: str) -> Engine:
    """Return the engine to be compared with PyTorch.

    Raises:
        MissingError: ONNX Runtime is not installed.
    """
    try:
        return load_engine("ort", bundle, EngineOptions(precision=precision))
    except MissingError as error:
        raise MissingError(
            f"the export needs ONNX Runtime to check its parts, but {error.message}", error.hint
        ) from None


def load_gpu_forms(bundle: Bundle[Manifest], precision: str) -> Engine:
    """Return an engine that runs the graphs for GPUs, of the parts that have them, on the CPU."""
    parts = {
        name: part.model_copy(update={"files": part.files_for("gpu"), "other_forms": {}})
        for name, part in bundle.manifest.parts.items()
        if "gpu" in part.other_forms
    }
    manifest = bundle.manifest.model_copy(update={"parts": parts})
    return load_engine("ort", Bundle(bundle.path, manifest), EngineOptions(precision=precision))


def run_both(reference: Engine, candidate: Engine, part: str, *inputs: Array) -> tuple[Array, Array]:
    """Return the outputs of both engines for the same inputs."""
    expected, actual = (e.get(e.run(part, *(e.put(array) for array in inputs))) for e in (reference, candidate))
    return expected, actual


def check_clips(frames: int, height: int, width: int) -> list[NDArray[np.uint8]]:
    """Return clips of noise, moving gradients and moving hard-edged shapes, uint8 ``[frames, height, width, 3]``."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (frames, height, width, 3), dtype=np.uint8)
    time, y, x, channel = np.ogrid[0:frames, 0:height, 0:width, 0:3]
    gradient = (y * (channel + 1) + x + 9 * time) % 511
    shapes = ((x + 11 * time) // 23 + (y - 5 * time) // 17 + channel) % 4 * 85
    return [noise, np.abs(gradient - 255).astype(np.uint8), shapes.astype(np.uint8)]


def all_check_clips(frames: int) -> list[NDArray[np.uint8]]:
    """Return the check clips of every size; see `check_clips`."""
    return [clip for height, width in HEIGHT_WIDTH for clip in check_clips(frames, height, width)]


def difference(expected: Array, actual: Array) -> Difference:
    """Return the largest difference, both absolute and relative to the largest expected magnitude (at least one)."""
    absolute = (
        float(np.abs(expected.astype(np.float64) - actual.astype(np.float64)).max())
        if expected.shape == actual.shape
        else float("inf")
    )
    return Difference(absolute=absolute, relative=absolute / max(1.0, float(np.abs(expected).max())))


def larger(one: Difference | None, other: Difference) -> Difference:
    """Return the larger difference; a NaN counts as the largest."""
    # Comparisons with NaN are always false, so keep a NaN once it occurs.
    if one is not None and (math.isnan(one.relative) or one.relative >= other.relative):
        return one
    return other


def check_difference(name: str, actual: Difference, max_error: float, precision: str) -> None:
    """Raise CheckError if fp32 differs by more than ``max_error``, or another precision by as much as zeros would."""
    if precision != "fp32":
        _check_usable(name, actual, precision)
    elif not actual.relative <= max_error:
        raise CheckError(
            f"{name} differs from PyTorch by {actual.relative:.2g}, more than --max-error {max_error:g}",
            "nothing was written",
        )


def _check_usable(name: str, actual: Difference, precision: str) -> None:
    if not actual.relative < _USELESS:
        raise CheckError(
            f"{name}: {precision} differs from PyTorch by {actual.relative:.2g} of the largest value, no better than "
            "an output of zeros",
            f"omit {precision}, or calibrate with other videos; nothing was written",
        )
