"""Check a row read from a journal against the types of `VideoRow`, by field."""

from __future__ import annotations

import math
from collections.abc import Callable
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
    return ""


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MOST


def _is_number(value: Any) -> bool:
    """Return whether ``value`` is a number or NaN, as in runs of a network whose output was NaN."""
    return type(value) in (int, float) and not math.isinf(value)


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
