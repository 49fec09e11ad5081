"""Check a row read from a journal against the types of `VideoRow`, by field."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any

import numpy as np

from ...runtime.scheduler.results import Step
from .video_row import VideoRow

_MOST = 2**31 - 1  # the tables hold 32-bit integers


def row_problem(row: VideoRow) -> str:
    """Return what is wrong with a row, "" if nothing is."""
    for each in fields(row):
        base, _, optional = str(each.type).partition(" | ")
        value = getattr(row, each.name)
        is_valid = _is_number if each.name == "probability" else _VALID[base]
        if not (value is None and optional) and not is_valid(value):
            return f"{each.name} is invalid"
    if row.error is None and None in (row.prediction, row.exit_step, row.frames_used, row.gmacs, row.latency_ms):
        return "it has neither a prediction nor an error"
    if row.probabilities is None:
        return ""
    classes = (*(row.label or ()), row.prediction or 0)
    return "label or prediction is no class" if max(classes) >= len(row.probabilities) else ""


def answers_problem(rows: Iterable[VideoRow]) -> str:
    """Return why a run cannot be resumed after these rows, "" if it can."""
    classes = set()
    for probabilities in (row.probabilities for row in rows if row.probabilities is not None):
        if not np.isfinite(probabilities).all():
            return "an answer is not finite"
        classes.add(len(probabilities))
    return "its answers have different numbers of classes" if len(classes) > 1 else ""


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MOST


def _is_number(value: Any) -> bool:
    """Return whether ``value`` is a number or NaN, as in runs of a network whose output was NaN."""
    if type(value) is float and math.isnan(value):
        return True
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _is_amount(value: Any) -> bool:
    return _is_number(value) and value >= 0


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 1 and len(value) > 0


def _is_step(value: Any) -> bool:
    return (
        isinstance(value, Step)
        and all(each is None or _is_number(each) for each in (value.gate, value.score))
        and (value.logits is None or _is_array(value.logits))
        and _is_amount(value.elapsed_s)
        and _is_amount(value.latency_s)
    )


def _each(is_valid: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda values: isinstance(values, tuple) and all(map(is_valid, values))


# By the annotation of the field, without "| None".
_VALID: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "int": _is_count,
    "float": _is_amount,
    "tuple[int, ...]": _each(_is_count),
    "tuple[float, ...]": _each(_is_number),
    "tuple[Step, ...]": _each(_is_step),
    "NDArray[np.float32]": _is_array,
}
