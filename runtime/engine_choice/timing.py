"""Measure how long each candidate takes for a call of the part that dominates the cost."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import VbenchError
from ..bundle.bundle import Bundle
from ..bundle.manifest import Manifest
from ..engines.base import Array, EngineOptions, Handle, load_engine
from ..measurements.spread import wide_spread
from ..telemetry.load import LoadMonitor
from .candidates import EXACT, Candidate

_ROUNDS = 3
_LIMIT_S = 1.0  # no further round is started after this time
_CALLS, _TURN_S = 6, 0.1  # a turn ends after this many calls, or this time
_LEAST_CPUS = 0.8  # a process that only computes uses at least one CPU
_TOLERANCE = 1e-3  # of the largest value: on the full-size networks, fp32 engines differ by 5e-6 and bf16 by 4e-2


def measure(
    bundle: Bundle[Manifest], options: EngineOptions, candidates: Sequence[Candidate], part: str, rows: int
) -> dict[str, Any]:
    """Return the median time of a call of ``part`` on ``rows`` rows for each candidate, in ms, and the conditions.

    Candidates take turns, so that a disturbance affects all of them. ``failed`` holds the reason for each candidate
    that cannot be loaded, or that is called fp32 but computes something else than the first one.

    Raises:
        VbenchError: none of the candidates works; this is the error of the first.
    """
    inputs = part_inputs(bundle.manifest, part, rows)
    quiet = replace(options, parts=frozenset([part]), say=lambda _: None)
    works: dict[Candidate, _Timed] = {}
    failed: dict[Candidate, VbenchError] = {}
    for each in candidates:
        try:
            works[each] = _Timed(bundle, replace(quiet, engine=each.engine, precision=each.precision), part, inputs)
        except VbenchError as error:
            failed[each] = error
    if not works:
        raise failed[candidates[0]]
    reasons = {str(each): str(error) for each, error in failed.items()} | _inexact(works)
    works = {each: timed for each, timed in works.items() if str(each) not in reasons}
    with LoadMonitor() as monitor:
        _take_turns(works.values())
    load = monitor.record()
    return {
        "times_ms": {str(each): float(np.median(timed.times_ms)) for each, timed in works.items()},
        "failed": reasons,
        "load": load,
        "unsteady": _disturbance(works, load["cpus_used"]),
    }


class _Timed:
    """An engine with only one part loaded, the part's output, and the times of its calls."""

    def __init__(self, bundle: Bundle[Manifest], options: EngineOptions, part: str, inputs: Iterable[Array]) -> None:
        self._engine = load_engine(options.engine, bundle, options)
        self._part, self._inputs = part, [self._engine.put(each) for each in inputs]
        self.times_ms: list[float] = []
        self.output = self._engine.get(self._call())

    def take_turn(self) -> None:
        """Time some calls; the first, during which the previous engine's threads come to rest, counts only if alone."""
        times_ms: list[float] = []
        while len(times_ms) < _CALLS and sum(times_ms) < 1e3 * _TURN_S:
            start = time.perf_counter()
            self._call()
            times_ms.append(1e3 * (time.perf_counter() - start))
        self.times_ms += times_ms[1:] or times_ms

    def _call(self) -> Handle:
        return self._engine.run(self._part, *self._inputs)


def _take_turns(engines: Iterable[_Timed]) -> None:
    engines, since = list(engines), time.perf_counter()
    for _ in range(_ROUNDS):
        for each in engines:
            each.take_turn()
        if time.perf_counter() - since > _LIMIT_S:
            return


def _disturbance(works: dict[Candidate, _Timed], cpus_used: float) -> str:
    """Return why the times are doubtful; "" if they are not."""
    if cpus_used < _LEAST_CPUS:
        return f"other processes left only {cpus_used:.2f} CPUs"
    spreads = ((each, wide_spread(timed.times_ms)) for each, timed in works.items())
    return next((f"{each} {problem}" for each, problem in spreads if problem), "")


def _inexact(works: dict[Candidate, _Timed]) -> dict[str, str]:
    """Return the fp32 candidates whose output differs from that of the first one by more than rounding, and how."""
    exact = [each for each in works if each.precision == EXACT]
    found = {}
    for each in exact[1:]:
        expected, actual = (works[one].output.astype(np.float64) for one in (exact[0], each))
        difference = np.abs(actual - expected).max() / max(np.abs(expected).max(), np.finfo(np.float32).tiny)
        if not difference <= _TOLERANCE:  # also if it is NaN
            found[str(each)] = f"its results differ from those of {exact[0]} by {difference:.1e} of the largest value"
    return found


def part_inputs(manifest: Manifest, part: str, rows: int) -> list[Array]:
    """Return random inputs of a part; the content does not affect the time, but must tell precisions apart."""
    random = np.random.default_rng(0)
    shapes = ((tensor.dtype, (rows, *map(int, tensor.shape[1:]))) for tensor in manifest.parts[part].inputs)
    return [random.standard_normal(shape).astype(dtype) for dtype, shape in shapes]
