"""Reject values that are not finite; NaN logits would otherwise yield a class (the first one) and an exit step.

Every decision passes through `checked` once its values arrive on the host, so no engine, schedule or family can return
such values.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...errors import CheckError
from .decision import StepDecision

_HINT = "run the network in fp32, or check the checkpoint's weights"


def checked(decision: StepDecision, step: int) -> StepDecision:
    """Return the decision at a 1-based step or, if a value is not finite, one that ends the clip with an error."""
    if decision.error is not None:
        return decision
    if decision.gate is not None and not math.isfinite(decision.gate):
        return _failed(decision, _error(step, "the gate value is", decision.gate))
    for name, value in decision.other_gates.items():
        if not math.isfinite(value):
            return _failed(decision, _error(step, f"the gate value of {name} is", value))
    if decision.logits is not None and not np.isfinite(decision.logits).all():
        return _failed(decision, _error(step, "the logits are", first_nonfinite(decision.logits)))
    if decision.score is not None and not math.isfinite(decision.score):
        return _failed(decision, _error(step, "the score is", decision.score))
    return decision


def features_error(step: int, features: NDArray[np.float32]) -> CheckError:
    """Return the error for a step at which the features are not all finite."""
    return _error(step, "the features are", first_nonfinite(features))


def first_nonfinite(values: NDArray[np.float32]) -> float:
    """Return the first NaN or infinite value of an array, which must contain one."""
    return float(values[~np.isfinite(values)][0])


def _failed(decision: StepDecision, error: CheckError) -> StepDecision:
    return replace(decision, ends=True, error=error)


def _error(step: int, subject: str, value: float) -> CheckError:
    return CheckError(f"step {step}: {subject} not finite ({'NaN' if math.isnan(value) else f'{value:g}'})", _HINT)
