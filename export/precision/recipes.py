"""The supported precisions, and the conversion of the backbone to each.

Only the backbone changes precision. Accumulator, gates and classifiers determine exits and take 0.05 % of the compute,
so they stay float32, in one file that all precisions share. The same holds for the preprocessing.
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
from .common import ConvertedGraph
from .fp16 import to_fp16
from .int8_qdq import RECIPES, to_int8_qdq

PRECISIONS = ("fp32", "fp16", *RECIPES)
CONVERTED_PART = "backbone"


class Backbone(NamedTuple):
    """The backbone in one precision; ``spec`` is None for fp32, which is not converted."""

    precision: str
    model: onnx.ModelProto
    spec: PrecisionSpec | None


def check_precisions(precisions: Sequence[str], calibration: Calibration | None) -> None:
    """Raise UsageError unless ``precisions`` are known, distinct, and calibrated exactly if they need it."""
    if not precisions:
        raise UsageError("no precision was given", f"choose one of {', '.join(PRECISIONS)}")
    for index, precision in enumerate(precisions):
        if precision not in PRECISIONS:
            raise UsageError(f"there is no precision {precision!r}", f"choose one of {', '.join(PRECISIONS)}")
        if precision in precisions[:index]:
            raise UsageError(f"duplicate precision {precision!r}", "name each precision once")
    calibrated = next((precision for precision in precisions if precision in RECIPES), None)
    if calibrated and calibration is None:
        raise UsageError(f"--precision {calibrated} needs calibration frames", "name a data set with --calibrate")
    if calibration is not None and not calibrated:
        raise UsageError(
            f"--calibrate has no effect with --precision {','.join(precisions)}",
            "add int8 or int8-trt, or leave --calibrate out",
        )


def backbones(
    graphs: Mapping[str, onnx.ModelProto],
    precisions: Sequence[str],
    calibration: Calibration | None,
    frames: int,
    scratch: Path,
    progress: Callable[[str], None],
) -> Iterator[Backbone]:
    """Yield the backbone in each precision, one at a time to limit memory: each is as large as the network.

    Args:
        graphs: the float32 graph of each part.
        frames: number of frames the network reads per video.
        scratch: existing folder for temporary files.

    Raises:
        DatasetError: no calibration video could be decoded.
        CheckError: the backbone cannot be represented in a precision.
        MissingError: ONNX Runtime, which converts the graphs, is not installed.
    """
    model, ranges = graphs[CONVERTED_PART], None
    for precision in precisions:
        if precision == "fp32":
            yield Backbone(precision, model, None)
            continue
        _require_onnxruntime()
        if precision in RECIPES and ranges is None:
            assert calibration is not None
            progress(f"calibrating with videos of {calibration.name}")
            ranges = activation_ranges(graphs["preprocess"], model, calibration, frames, scratch)
        progress(f"converting the backbone to {precision}")
        yield Backbone(precision, *_convert(model, precision, ranges))


def _convert(model: onnx.ModelProto, precision: str, ranges: Ranges | None) -> ConvertedGraph:
    if precision == "fp16":
        return to_fp16(model)
    assert ranges is not None
    return to_int8_qdq(model, RECIPES[precision], ranges)


def _require_onnxruntime() -> None:
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        error = missing_package("onnxruntime", "cpu")
        raise MissingError(f"the export converts precisions with ONNX Runtime: {error.message}", error.hint) from None
