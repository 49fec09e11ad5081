"""Estimate, before anything is loaded, how long a benchmark will take."""

from __future__ import annotations

from pathlib import Path

from ...runtime.bundle.bundle import open_bundle
from ...runtime.families import family_of
from ...runtime.telemetry.cpus import usable_cpus
from .harness import MOST_REPEATS
from .results import Bench

_LOAD_S = 4.0  # to import and load a contender
_PER_GIGABYTE_S = 20.0
_GMACS_PER_S = 40.0  # for one core; a conservative figure
_SHORT_TURN_S = 0.9


def estimated_minutes(bench: Bench) -> tuple[float, float]:
    """Estimate a range of minutes from the number of contenders, the bundle's size and its multiply-accumulates.

    The number of clips is chosen later, so that the minimum number of repetitions fits into the time limit. The
    estimate is therefore the time that a benchmark of 64 clips would take, capped at the limit.
    """
    header = bench.header
    manifest = open_bundle(Path(header.bundle)).manifest
    steps = family_of(manifest).steps(manifest)
    gmacs = sum(step.macs * step.clips for step in steps) / len(steps) / 1e9
    contenders, repeats = len(bench.results), header.options.min_repeats
    load_s = contenders * (_LOAD_S + _PER_GIGABYTE_S * max(header.bundle_bytes.values()) / 1e9)
    turn_s = max(
        _SHORT_TURN_S, 0.5 * min(header.clips.videos, 64) * gmacs * len(steps) / (_GMACS_PER_S * usable_cpus())
    )
    low, high = (load_s + contenders * turn_s * number for number in (repeats + 1, MOST_REPEATS * repeats + 1))
    limit = header.options.max_minutes
    return min(low / 60, limit), min(high / 60, limit)
