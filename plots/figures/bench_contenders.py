"""Parts common to the benchmark figures: the contenders they show, how each one looks, and notes.

INVALID contenders are left out of all figures and named in a note; UNSTABLE ones have a dagger after their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, NamedTuple

from ...bench.benchmark import Bench, BenchRow, bench_rows
from ...errors import RunError
from ..runs.text_format import join_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

UNSTABLE_HATCH = "////"
_DAGGER = "\N{DAGGER}"
_UNSTABLE_NOTE = f"{_DAGGER} UNSTABLE: the machine was disturbed, or the repetitions differ too much."
_SPACE = "\N{NO-BREAK SPACE}"
_BASELINE_COLOR = "#6E6E6E"
_MOST_NAMED = 6
_NAME_CHARACTERS = 44
_NOTE_CHARACTERS = 112
_BAR_INCHES = 0.24
_LINE_INCHES = 0.14
_FRAME_INCHES = 0.9


@dataclass(frozen=True)
class ShownBench:
    """The contenders in the figures of a benchmark, at least one, in the benchmark's order.

    Attributes:
        metric: ``top1`` or ``map``.
        notes: what a reader of the figures must know, one sentence each.
    """

    rows: tuple[BenchRow, ...]
    metric: str
    notes: tuple[str, ...]


class Look(NamedTuple):
    """Color and marker of a contender."""

    color: str
    marker: str


def shown_bench(bench: Bench, rows: Sequence[BenchRow] | None = None) -> ShownBench:
    """Return the contenders to show; ``rows`` are those of ``bench``, if they are already known.

    Raises:
        RunError: all contenders are INVALID.
    """
    rows = bench_rows(bench) if rows is None else rows
    shown = tuple(row for row in rows if row.verdict.name != "INVALID" and row.videos_per_s)
    left_out = [row for row in rows if row not in shown]
    if not shown:
        reason = next((f" ({row.name}: {row.verdict.reasons[0]})" for row in rows if row.verdict.reasons), "")
        raise RunError(f"no contender of the benchmark is valid{reason}", "repeat the benchmark")
    notes = [] if bench.complete else ["The benchmark was interrupted."]
    if any(unstable(row) for row in shown):
        notes.append(_UNSTABLE_NOTE)
    if left_out:
        notes.append(f"Left out because INVALID: {_some_names(left_out)}.")
    return ShownBench(shown, bench.header.clips.metric, tuple(notes))


def unstable(row: BenchRow) -> bool:
    """Return whether a contender's measurement was disturbed."""
    return row.verdict.name == "UNSTABLE"


def marked_name(row: BenchRow) -> str:
    """Return the name of a contender, with a dagger if it is UNSTABLE."""
    return row.name + (f" {_DAGGER}" if unstable(row) else "")


def looks(rows: Sequence[BenchRow]) -> list[Look]:
    """Return a look for each row: one per engine and precision, and gray for PyTorch's baselines."""
    from .style import MARKERS, PALETTE

    keys = [(row.procedure, row.engine, row.precision) for row in rows]
    markers = {key: MARKERS[place % len(MARKERS)] for place, key in enumerate(dict.fromkeys(keys))}
    colored = dict.fromkeys(key for key in keys if key[0] == "network")
    colors = {key: PALETTE[place % len(PALETTE)] for place, key in enumerate(colored)}
    return [Look(colors.get(key, _BASELINE_COLOR), markers[key]) for key in keys]


def bar_chart(rows: Sequence[BenchRow], below: int) -> tuple[Figure, Axes]:
    """Return a figure with room for one horizontal bar per row, the first on top; use it within ``figure_style``.

    Args:
        rows: contenders, named on the vertical axis.
        below: number of text lines below the axes.
    """
    from matplotlib.figure import Figure

    from .style import WIDTH_INCHES

    names = [_wrapped(marked_name(row)) for row in rows]
    lines = sum(name.count("\n") for name in names) + below
    height = _FRAME_INCHES + _BAR_INCHES * len(rows) + _LINE_INCHES * lines
    figure = Figure(figsize=(WIDTH_INCHES, height))
    axes = figure.add_subplot()
    axes.set_yticks(range(len(rows)), names, fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    return figure, axes


def _wrapped(name: str) -> str:
    """Break a long name, preferably after commas."""
    return fill(name.replace(" ", _SPACE).replace(f",{_SPACE}", ", "), _NAME_CHARACTERS).replace(_SPACE, " ")


def label_rows(axes: Axes, title: str, texts: Sequence[str]) -> None:
    """Write a column of ``texts`` to the right of a bar chart, one per bar, with a ``title`` above it."""
    for place, text in enumerate(texts):
        _beside(axes, place, text)
    _beside(axes, -0.9, title)


def _beside(axes: Axes, place: float, text: str) -> None:
    transform = axes.get_yaxis_transform()
    axes.text(1.02, place, text, transform=transform, fontsize=7.5, verticalalignment="center", clip_on=False)


def note_lines(notes: Sequence[str]) -> list[str]:
    """Wrap the notes into lines that fit below a figure."""
    return [line for note in notes for line in fill(note, _NOTE_CHARACTERS).split("\n")]


def add_notes(figure: Figure, lines: Sequence[str]) -> None:
    """Write the notes, line by line, along the bottom of a figure."""
    if lines:
        figure.supxlabel("\n".join(lines), x=0.01, fontsize=7.5, horizontalalignment="left", color="#444444")


def _some_names(rows: Sequence[BenchRow]) -> str:
    names = [row.name for row in rows]
    more = len(names) - _MOST_NAMED
    return join_words([*names[:_MOST_NAMED], f"{more} more"] if more > 0 else names)
