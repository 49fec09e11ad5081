"""Gate targets, the first threshold, and the betas to fit, all derived from the losses of a recording.

A step may exit if its loss is at most ``beta * exp(t / 2)``, where t counts steps from 0: the allowed loss grows with
the step. Steps 1 to S - 2 have gates; step 0 compares its confidence with a threshold instead.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_QUANTILES = 10


def allowed_losses(beta: float, steps: int) -> NDArray[np.float64]:
    """Return the largest loss at which each step exits, float64 ``[steps]``."""
    return beta * growth(steps)


def growth(steps: int) -> NDArray[np.float64]:
    """Return ``exp(t / 2)`` for t from 0, float64 ``[steps]``."""
    return np.exp(np.arange(steps) / 2)


def exit_labels(losses: NDArray[np.float32], beta: float) -> NDArray[np.bool_]:
    """Return whether each video should exit at each step, bool ``[n, steps]``; a loss equal to the limit means exit.

    Raises:
        ValueError: a loss is NaN.
    """
    if np.isnan(losses).any():
        raise ValueError("a loss is NaN")
    found: NDArray[np.bool_] = losses.astype(np.float64) <= allowed_losses(beta, losses.shape[1])
    return found


def first_threshold(confidences: NDArray[np.float32], exits: NDArray[np.bool_], default: float) -> float:
    """Return the confidence above which step 1 exits: the one that best agrees with ``exits``, but at most ``default``.

    Among equally good ones, return the one with the fewest exits; return ``default`` if exiting never helps.
    """
    order = np.argsort(-confidences, kind="stable")
    ranked = confidences[order]
    agreement = np.cumsum(np.where(exits[order], 1, -1))
    below = np.append(ranked[1:], np.nextafter(ranked[-1], np.float32(0)))  # the threshold that only the prefix exceeds
    agreement = np.where(ranked > below, agreement, -1)  # equal confidences exit together
    best = int(agreement.argmax())
    return default if agreement[best] <= 0 else min(default, float(below[best]))


def default_betas(losses: NDArray[np.float32], points: int = _QUANTILES) -> tuple[float, ...]:
    """Return ``points`` betas in ascending order: quantiles of the beta at which each video exits at each gate.

    They are rounded to two significant digits; duplicates and zeros are dropped, so there may be fewer.
    """
    steps = losses.shape[1]
    required = (losses.astype(np.float64) / growth(steps))[:, 1:-1]
    chosen = np.quantile(required, (np.arange(points) + 0.5) / points)
    return tuple(sorted({beta for beta in (float(f"{value:.1e}") for value in chosen) if beta > 0}))


def beta_name(beta: float) -> str:
    """Return the name of the gate set for a beta, such as ``beta_1e-03``."""
    mantissa, exponent = f"{beta:.6e}".split("e")
    return f"beta_{mantissa.rstrip('0').rstrip('.')}e{exponent}"
