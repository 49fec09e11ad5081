"""Which precisions there are, and the backbone in each of them.

Only the backbone changes precision. Accumulator, gates and classifiers decide exits and cost 0.05 % of the compute, so
they stay float32 in every precision, as one file that all precisions share; so does the preprocessing.
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
    """Raise UsageError unless ``precisions`` are known, differ, and are calibrated if and only if they have to be."""
    if not precisions:
        raise UsageError("no precision was given", f"choose from {', '.join(PRECISIONS)}")
    for place, precision in enumerate(precisions):
        if precision not in PRECISIONS:
            raise UsageError(f"no precision {precision!r}", f"choose from {', '.join(PRECISIONS)}")
        if precision in precisions[:place]:
            raise UsageError(f"precision {precision} stands there twice", "name each precision once")
    measured = next((precision for precision in precisions if precision in RECIPES), None)
    if measured and calibration is None:
        raise UsageError(
            f"--precision {measured} needs frames to measure activations on", "name a data set with --calibrate"
        )
    if calibration is not None and not measured:
        raise UsageError(
            f"--calibrate has no use with --precision {','.join(precisions)}", "add int8 or int8-trt, or leave it out"
        )


def backbones(
    graphs: Mapping[str, onnx.ModelProto],
    precisions: Sequence[str],
    calibration: Calibration | None,
    frames: int,
    scratch: Path,
    progress: Callable[[str], None],
) -> Iterator[Backbone]:
    """Yield the backbone in every precision, one at a time, since each weighs as much as the network.

    Args:
        graphs: the float32 graph of every part.
        frames: how many frames of a video the network takes.
        scratch: an existing folder for temporary files.

    Raises:
        DatasetError: no calibration video gave frames.
        CheckError: the backbone cannot be held in a precision.
        MissingError: ONNX Runtime, which converts, is not installed.
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
