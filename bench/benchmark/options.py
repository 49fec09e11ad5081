"""Options of a benchmark: which contenders to measure, and for how long."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from ...errors import UsageError
from ...option_fields import option, option_record
from ...runtime.engines.options import ENGINES
from ...runtime.scheduler.options import SYNCS
from ...runtime.scheduler.schedules import SCHEDULES


def names(text: str) -> tuple[str, ...]:
    """Split a list of names separated by commas."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


@dataclass(frozen=True)
class BenchOptions:
    """The matrix of contenders and the extent of a benchmark; None leaves the choice to vbench."""

    engines: tuple[str, ...] | None = option(
        "Engines, separated by commas.", default=None, flags=("--engine",), parse=names, metavar="NAME,...",
        show_default="all that work here",
    )  # fmt: skip
    precisions: tuple[str, ...] | None = option(
        "Precisions, separated by commas.", default=None, flags=("--precision",), parse=names, metavar="NAME,...",
        show_default="all that the bundle has and this machine supports",
    )  # fmt: skip
    schedules: tuple[str, ...] | None = option(
        "Batching schedules, separated by commas.", default=None, flags=("--schedule",), parse=names,
        metavar="NAME,...", show_default="sequential,inflight",
    )  # fmt: skip
    slots: tuple[int, ...] | None = option(
        "Batch sizes of all schedules except sequential, separated by commas.",
        default=None,
        metavar="N,...",
        show_default="8",
    )
    syncs: tuple[str, ...] | None = option(
        "When the next frame of FrameExit starts, separated by commas: step, speculative.", default=None,
        flags=("--sync",), parse=names, metavar="NAME,...", show_default="step",
    )  # fmt: skip
    frames: tuple[int, ...] | None = option(
        "Frame counts of a frame-flexible network.", default=None, metavar="N,...", show_default="all in the bundle"
    )
    min_repeats: int = option("Minimum number of measured turns of each contender.", default=5, minimum=2)
    max_minutes: float = option("Time limit, including loading.", default=15.0)

    def check(self) -> None:
        """Raise UsageError if a value is unknown or out of range."""
        _check_names("--engine", self.engines, ENGINES, ENGINES.noun)
        _check_names("--schedule", self.schedules, SCHEDULES, SCHEDULES.noun)
        _check_names("--sync", self.syncs, SYNCS, "value")
        for flag, values in (("--slots", self.slots or ()), ("--frames", self.frames or ())):
            wrong = [value for value in values if value < 1]
            if wrong:
                raise UsageError(f"{flag} must be 1 or more, got {wrong[0]}", f"for example, {flag} 1,8")
        for flag, given in (("--precision", self.precisions), ("--engine", self.engines), ("--sync", self.syncs)):
            if given == ():
                raise UsageError(f"{flag} is empty", "omit it")
        if self.min_repeats < 2:
            raise UsageError(f"--min-repeats must be 2 or more, got {self.min_repeats}", "for example, 5")
        if not (math.isfinite(self.max_minutes) and self.max_minutes > 0):
            raise UsageError(f"--max-minutes must be > 0, got {self.max_minutes:g}", "for example, 15")

    def record(self) -> dict[str, Any]:
        """Return the options as JSON; see `from_record`."""
        return option_record(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> BenchOptions:
        """Return the options from their record.

        Raises:
            KeyError, TypeError: a field is missing or unknown.
        """
        values: dict[str, Any] = {each.name: record[each.name] for each in fields(cls)}
        tuples: dict[str, Any] = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**{**values, **tuples})


def _check_names(flag: str, given: tuple[str, ...] | None, known: Iterable[str], noun: str) -> None:
    for name in given or ():
        if name not in known:
            raise UsageError(f"{flag}: unknown {noun} {name!r}", f"choose one of {', '.join(known)}")
