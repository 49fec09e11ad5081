"""Per-step latency model, used to predict the latency of replayed operating points."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import RunError
from ...names import valid_text
from ..records.tables import has_predictions, read_predictions
from .trace import Trace
from .trace_file import TRACE, read_trace

_COLUMNS = ("exit_step", "latency_ms", "elapsed_ms", "error")


@dataclass(frozen=True)
class StepTimes:
    """Mean milliseconds added by each step, float64 ``[steps]``.

    Attributes:
        latency_ms: added to the time from a video's start to its result.
        elapsed_ms: added to the time that the engine spends on this video alone, computing or waiting; determines
            videos/s.
        source: the run in which they were measured.
    """

    latency_ms: NDArray[np.float64]
    elapsed_ms: NDArray[np.float64]
    source: str


def trace_step_times(trace: Trace, source: str) -> StepTimes:
    """Return the step times of a trace."""
    latency = np.diff(trace.latency_ms.mean(axis=1), prepend=0.0)
    return StepTimes(latency, trace.elapsed_ms.mean(axis=1), valid_text(source))


def read_step_times(run: Path, steps: int, *, uniform: bool = True) -> StepTimes:
    """Return the step times of a run, from its trace or, if it has none, from a linear fit over its videos.

    A linear fit requires ``uniform`` steps, which the steps of a frame-count network are not.

    Raises:
        RunError: the run has no predictions, all its videos exit at the same step, its network has a different number
            of steps, or it has no trace and its steps are not uniform.
    """
    import polars

    if (run / TRACE).is_file():
        trace = read_trace(run)
        if trace.steps != steps:
            raise RunError(
                f"{run} has {trace.steps} steps, but the trace has {steps}", "use a run with the same network"
            )
        return trace_step_times(trace, str(run))
    if not has_predictions(run):
        raise RunError(f"{run} is not a finished run", "pass a folder written by vbench run")
    table = read_predictions(run, _COLUMNS).filter(polars.col("error").is_null())
    ended = table["exit_step"].to_numpy()
    if not uniform or not len(ended) or ended.min() == ended.max() or ended.max() > steps:
        raise RunError(f"the time of a step cannot be determined from {run}", "use a run with a trace (--trace)")
    return StepTimes(
        _linear_fit(ended, table["latency_ms"].to_numpy(), steps),
        _linear_fit(ended, table["elapsed_ms"].to_numpy(), steps),
        valid_text(str(run)),
    )


def _linear_fit(ended: NDArray[np.int64], milliseconds: NDArray[np.float64], steps: int) -> NDArray[np.float64]:
    """Fit a start-up time and a constant time per step by least squares."""
    each, start = np.polyfit(ended, milliseconds, 1)
    times: NDArray[np.float64] = np.full(steps, max(each, 0.0))
    times[0] += max(start, 0.0)
    return times
