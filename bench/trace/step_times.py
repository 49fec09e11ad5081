"""What each step takes on an engine, to tell the time of an operating point that was never run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import RunError
from ..records.tables import has_predictions, read_predictions
from .trace import Trace
from .trace_file import TRACE, read_trace


@dataclass(frozen=True)
class StepTimes:
    """Mean milliseconds that each step adds, float64 ``[steps]``.

    Attributes:
        latency_ms: to the time from a video's start to its answer.
        elapsed_ms: to the time that the engine is busy or waits for this video and no other, of which videos/s follow.
        source: the run that they were measured in.
    """

    latency_ms: NDArray[np.float64]
    elapsed_ms: NDArray[np.float64]
    source: str


def trace_step_times(trace: Trace, source: str) -> StepTimes:
    """Return the times of a trace's steps."""
    latency = np.diff(trace.latency_ms.mean(axis=1), prepend=0.0)
    return StepTimes(latency, trace.elapsed_ms.mean(axis=1), source)


def read_step_times(run: Path, steps: int, *, uniform: bool = True) -> StepTimes:
    """Return the times of a run's steps: of its trace, or where it has none of a line fitted to its videos.

    Steps that are not ``uniform``, such as frame counts, lie on no line.

    Raises:
        RunError: it has no answers, all its videos end at one step, its network has another number of steps, or it
            has no trace and its steps are not uniform.
    """
    import polars

    if (run / TRACE).is_file():
        trace = read_trace(run)
        if trace.steps != steps:
            raise RunError(f"{run}: has {trace.steps} steps, the trace has {steps}", "time the same network")
        return trace_step_times(trace, str(run))
    if not has_predictions(run):
        raise RunError(f"{run}: not a finished run", "give a folder that vbench run made")
    table = read_predictions(run).filter(polars.col("error").is_null())
    ended = table["exit_step"].to_numpy()
    if not uniform or not len(ended) or ended.min() == ended.max() or ended.max() > steps:
        raise RunError(f"{run}: does not show what a step takes", "time with a run that has a trace (--trace)")
    return StepTimes(
        _linear_fit(ended, table["latency_ms"].to_numpy(), steps),
        _linear_fit(ended, table["elapsed_ms"].to_numpy(), steps),
        str(run),
    )


def _linear_fit(ended: NDArray[np.int64], milliseconds: NDArray[np.float64], steps: int) -> NDArray[np.float64]:
    """Fit a start and a constant time for each step by least squares."""
    each, start = np.polyfit(ended, milliseconds, 1)
    found: NDArray[np.float64] = np.full(steps, max(each, 0.0))
    found[0] += max(start, 0.0)
    return found
