"""Check each field of a row read from a journal against its type in `VideoRow`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any

import numpy as np

from ...runtime.scheduler.results import Step
from .table_check import MOST_PROBABLE
from .video_row import VideoRow

_MOST = 2**31 - 1  # the tables store 32-bit integers


def row_problem(row: VideoRow) -> str:
    """Return the problem with a row, or "" if it is valid."""
    for each in fields(row):
        base, _, optional = str(each.type).partition(" | ")
        value = getattr(row, each.name)
        is_valid = _is_probability if each.name == "probability" else _VALID[base]
        if not (value is None and optional) and not is_valid(value):
            return f"{each.name} is invalid"
    answer = (row.prediction, row.probability, row.exit_step, row.frames_used, row.gmacs, row.latency_ms)
    if row.probabilities is None or None in answer:
        return "" if row.error is not None else "it has neither a prediction nor an error"
    classes = (*(row.label or ()), row.prediction or 0)
    return "its label or prediction is not a class" if max(classes) >= len(row.probabilities) else ""


def answers_problem(rows: Iterable[VideoRow]) -> str:
    """Return why a run cannot be resumed after these rows, or "" if it can."""
    classes = {len(row.probabilities) for row in rows if row.probabilities is not None}
    return "its predictions have different numbers of classes" if len(classes) > 1 else ""


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MOST


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_amount(value: Any) -> bool:
    return _is_number(value) and value >= 0


def _is_probability(value: Any) -> bool:
    return _is_amount(value) and value <= MOST_PROBABLE


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 1 and len(value) > 0 and bool(np.isfinite(value).all())


def _is_step(value: Any) -> bool:
    return (
        isinstance(value, Step)
        and all(each is None or _is_number(each) for each in (value.gate, value.score))
        and (value.logits is None or _is_array(value.logits))
        and _is_amount(value.elapsed_s)
        and _is_amount(value.latency_s)
        and (value.other_gates is None or _are_gates(value.other_gates))
    )


def _are_gates(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_number, value.values()))


def _each(is_valid: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda values: isinstance(values, tuple) and all(map(is_valid, values))


# Keyed by the field's annotation, without "| None".
_VALID: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "int": _is_count,
    "float": _is_amount,
    "tuple[int, ...]": _each(_is_count),
    "tuple[float, ...]": _each(_is_number),
    "tuple[Step, ...]": _each(_is_step),
    "NDArray[np.float32]": _is_array,
}
