"""The supported precisions, and the conversion of the backbone to each.

Only the backbone changes precision. The accumulator, the gates and the classifiers determine exits and account for only
0.05% of the compute, so they stay in float32, in files that all precisions share. The same applies to preprocessing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import onnx

from ...errors import MissingError, UsageError
from ...runtime.bundle.manifest import PrecisionSpec
from ...runtime.engines.install_hint import missing_package
from .activation_ranges import Calibration, Ranges, activation_ranges
from .fp16 import to_fp16
from .int8_qdq import RECIPES, to_int8_qdq

_FP16 = "fp16"
PRECISIONS = ("fp32", _FP16, *RECIPES)
CONVERTED_PART = "backbone"


class Backbone(NamedTuple):
    """The backbone in one precision; ``spec`` is None for fp32, which is not converted."""

    precision: str
    model: onnx.ModelProto
    spec: PrecisionSpec | None


def check_precisions(precisions: Sequence[str], calibration: Calibration | None) -> None:
    """Raise UsageError unless ``precisions`` are known and distinct, and ``calibration`` is given if one requires it.

    A calibration that no precision uses is also an error.
    """
    if not precisions:
        raise UsageError("--precision is empty", f"choose one of {', '.join(PRECISIONS)}")
    for index, precision in enumerate(precisions):
        if precision not in PRECISIONS:
            raise UsageError(f"unknown precision {precision!r}", f"choose one of {', '.join(PRECISIONS)}")
        if precision in precisions[:index]:
            raise UsageError(f"duplicate precision {precision!r}", "list each precision only once")
    calibrated = next((precision for precision in precisions if precision in RECIPES), None)
    if calibrated and calibration is None:
        raise UsageError(f"--precision {calibrated} requires calibration frames", "specify a data set with --calibrate")
    if calibration is not None and not calibrated and _FP16 not in precisions:
        raise UsageError(
            f"--calibrate has no effect with --precision {','.join(precisions)}",
            "add fp16, int8 or int8-trt, or omit --calibrate",
        )


def backbones(
    graphs: Mapping[str, onnx.ModelProto],
    precisions: Sequence[str],
    calibration: Calibration | None,
    check_clips: Calibration,
    frames: int,
    scratch: Path,
    progress: Callable[[str], None],
) -> Iterator[Backbone]:
    """Yield the backbone in each precision, one at a time to limit memory use, since each is as large as the network.

    Args:
        graphs: the float32 graph of each part.
        calibration: the user's calibration frames, for the 8-bit precisions and fp16.
        check_clips: additional frames on which activations are measured for fp16.
        frames: number of frames that the network reads per video.
        scratch: existing folder for temporary files.

    Raises:
        DatasetError: no calibration video could be decoded.
        CheckError: the backbone cannot be represented in one of the precisions.
        MissingError: ONNX Runtime, which converts the graphs, is not installed.
    """
    model, ranges = graphs[CONVERTED_PART], None

    def measure(source: Calibration) -> Ranges:
        return activation_ranges(graphs["preprocess"], model, source, frames, scratch)

    for precision in precisions:
        if precision == "fp32":
            yield Backbone(precision, model, None)
            continue
        _require_onnxruntime()
        if calibration is not None and ranges is None:
            progress(f"calibrating with videos of {calibration.name}")
            ranges = measure(calibration)
        if precision == _FP16:
            progress("measuring the activations")
            measured = [measure(check_clips), *([] if ranges is None else [ranges])]
            progress("converting the backbone to fp16")
            yield Backbone(precision, *to_fp16(model, _largest(measured)))
            continue
        assert ranges is not None
        progress(f"converting the backbone to {precision}")
        yield Backbone(precision, *to_int8_qdq(model, RECIPES[precision], ranges))


def _largest(measured: Sequence[Ranges]) -> dict[str, float]:
    """Return the largest magnitude of each activation over several measurements."""
    peaks: dict[str, float] = {}
    for ranges in measured:
        for tensor, peak in ranges.peaks().items():
            peaks[tensor] = max(peak, peaks.get(tensor, 0.0))
    return peaks


def _require_onnxruntime() -> None:
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        error = missing_package("onnxruntime", "cpu")
        raise MissingError(
            f"the export needs ONNX Runtime to convert precisions, but {error.message}", error.hint
        ) from None
