"""Results of a benchmark while it runs, and as read from its folder: everything shown is derived from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ...runtime.telemetry.stability import problems
from ..records.video_row import VideoRow
from .clips import ClipSet
from .contender import Contender
from .matrix import Absent
from .options import BenchOptions
from .turn import Started, Turn

FEWEST_QUIET = 5
"""Minimum number of undisturbed turns needed to leave out the disturbed ones."""
WARM_UP = 0  # repetition of the turn that precedes the measured ones


@dataclass(frozen=True)
class Check:
    """One compliance check of a contender: what must not change, and what was found."""

    name: str
    passed: bool
    detail: str


@dataclass
class ContenderResult:
    """What is known about one contender.

    Attributes:
        started: None until it is loaded.
        failure: why it did not load, or why it ended; "" if it works.
        turns: by repetition; 0 is the warm-up turn, which is excluded from all speed figures.
    """

    contender: Contender
    started: Started | None = None
    failure: str = ""
    turns: dict[int, Turn] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)

    @property
    def measured(self) -> dict[int, Turn]:
        """The turns after the warm-up, by repetition."""
        return {number: turn for number, turn in self.turns.items() if number != WARM_UP}

    @property
    def counted(self) -> dict[int, Turn]:
        """The measured turns behind all speed figures: the undisturbed ones, or all if fewer than 5 remain.

        A disturbance is a machine signal beyond its limit, see ``stability.py``; it does not depend on how long a turn
        took, so leaving out these turns favors no contender.
        """
        quiet = {number: turn for number, turn in self.measured.items() if not problems(turn.host, turn.gpu)}
        return quiet if len(quiet) >= FEWEST_QUIET else self.measured

    def first_rows(self) -> dict[str, VideoRow]:
        """Return the first row of every video, by key; {} before the first turn."""
        found: dict[str, VideoRow] = {}
        for number in sorted(self.turns):
            for row in self.turns[number].rows:
                found.setdefault(row.video, row)
        return found


@dataclass(frozen=True)
class ClipsInfo:
    """The clips of a benchmark: their data set, metric, number of classes, and categories of tags."""

    dataset: str
    metric: str
    videos: int
    labeled: bool
    classes: int
    categories: tuple[str, ...] | None = None


@dataclass(frozen=True)
class BenchHeader:
    """Configuration and environment of a benchmark.

    Attributes:
        bundle: path; ``network``, ``bundle_sha256`` and ``bundle_bytes`` (by precision) describe it.
        clip_set: which clips were requested; ``clips`` describes those found.
        passes: how often each contender runs the clips in one turn, by name.
        low_precision: the CPU's instructions for bf16 and int8.
    """

    bundle: str
    network: str
    bundle_sha256: str
    bundle_bytes: dict[str, int]
    options: BenchOptions
    clip_set: ClipSet
    clips: ClipsInfo
    absent: tuple[Absent, ...]
    machine: dict[str, Any]
    low_precision: str
    versions: dict[str, str]
    command: str
    date: str
    limit: int | None = None
    passes: dict[str, int] = field(default_factory=dict)


@dataclass
class Bench:
    """A benchmark: its header, and the result of every contender, baselines first."""

    header: BenchHeader
    results: list[ContenderResult]
    complete: bool = False

    @property
    def working(self) -> list[ContenderResult]:
        """The contenders that have not failed and have a turn."""
        return [one for one in self.results if not one.failure and one.turns]

    def find(self, contender: Contender | None) -> ContenderResult | None:
        """Return the result of a contender; None if ``name`` is None or the contender did not work."""
        return next((one for one in self.working if one.contender == contender), None)

    def contenders(self) -> Sequence[Contender]:
        """Return the contenders that work, in order."""
        return [one.contender for one in self.working]
