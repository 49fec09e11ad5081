"""The supported precisions, and the conversion of a part to each.

In FrameExit, only the backbone changes precision. The accumulator, the gates and the classifiers determine exits and
account for only 0.05% of the compute, so they stay in float32, in files that all precisions share. A frame-count
network has one part per frame count, all of which are converted, each with activation ranges of its own. Preprocessing
is always float32.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import onnx

from ...errors import MissingError, UsageError
from ...runtime.bundle.manifest import PrecisionSpec
from ...runtime.engines.install_hint import missing_package
from .activation_ranges import Calibration, Clip, Ranges
from .fp16 import to_fp16
from .int8_qdq import RECIPES, to_int8_qdq

_FP16 = "fp16"
PRECISIONS = ("fp32", _FP16, *RECIPES)


class Conversion(NamedTuple):
    """A part in one precision; ``spec`` is None for fp32, which is not converted."""

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


def conversions(
    model: onnx.ModelProto,
    measure: Callable[[Calibration], Ranges],
    precisions: Sequence[str],
    calibration: Calibration | None,
    check_clips: Callable[[int], Iterable[Clip]],
    progress: Callable[[str], None],
) -> Iterator[Conversion]:
    """Yield a part in each precision, one at a time to limit memory use, since each is as large as the network.

    Args:
        model: the part's float32 graph, with all weights embedded.
        measure: returns the part's activation ranges on calibration frames.
        calibration: the user's calibration frames, for the 8-bit precisions and fp16.
        check_clips: returns additional clips of a number of frames, on which activations are measured for fp16.

    Raises:
        DatasetError: no calibration video could be decoded.
        CheckError: the part cannot be represented in one of the precisions.
        MissingError: ONNX Runtime, which converts the graphs, is not installed.
    """
    name, ranges = model.graph.name, None
    for precision in precisions:
        if precision == "fp32":
            yield Conversion(precision, model, None)
            continue
        _require_onnxruntime()
        if calibration is not None and ranges is None:
            progress(f"calibrating {name} with videos of {calibration.name}")
            ranges = measure(calibration)
        if precision == _FP16:
            progress(f"measuring the activations of {name}")
            checks = Calibration("the check clips", lambda frames, _sampling: check_clips(frames))
            measured = [measure(checks), *([] if ranges is None else [ranges])]
            progress(f"converting {name} to fp16")
            yield Conversion(precision, *to_fp16(model, _largest(measured)))
            continue
        assert ranges is not None
        progress(f"converting {name} to {precision}")
        yield Conversion(precision, *to_int8_qdq(model, RECIPES[precision], ranges))


def merged(specs: Sequence[PrecisionSpec]) -> PrecisionSpec:
    """Return the record of several parts in one precision; parts of one network have equal names of nodes."""
    kept: dict[str, dict[str, None]] = {}
    for spec in specs:
        for op, names in spec.kept.items():
            kept.setdefault(op, {}).update(dict.fromkeys(names))
    calibrations = [spec.calibration for spec in specs if spec.calibration is not None]
    peaks = [spec.largest_activation for spec in specs if spec.largest_activation is not None]
    frames = sum(calibration.frames for calibration in calibrations)
    changes = {
        "parts": tuple(part for spec in specs for part in spec.parts),
        "converted": dict(sum((Counter(spec.converted) for spec in specs), Counter[str]())),
        "kept": {op: tuple(names) for op, names in kept.items()},
        "weights_flushed_to_zero": sum(spec.weights_flushed_to_zero for spec in specs),
        "calibration": calibrations[0].model_copy(update={"frames": frames}) if calibrations else None,
        "largest_activation": max(peaks, default=None),
    }
    return specs[0].model_copy(update=changes)


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
