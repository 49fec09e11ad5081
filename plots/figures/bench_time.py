"""Where each contender in a benchmark spends its time, as shares of its time per video.

Waiting, backbone, heads and scheduling add up to the whole. Decoding and preprocessing run concurrently with them, or
are the reason for waiting, so they have a thin bar of their own. The bars are shares rather than milliseconds, because
the slowest contender may take a hundred times as long as the fastest, whose bar would vanish.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ...bench.benchmark import BenchRow
from ...errors import RunError
from .bench_contenders import ShownBench, add_notes, bar_chart, label_rows, note_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEGEND_LINES = 2
_BESIDE_NOTE = "Thin bars: decoding and preprocessing, which run concurrently with the rest or make it wait."


class _Part(NamedTuple):
    """A part of the time, with its segment's name and color."""

    share: str
    name: str
    color: str
    hatch: str | None = None


# From dark to light, so that the segments differ in grayscale too.
_STACK = (
    _Part("wait", "waiting for frames", "#D9D9D9"),
    _Part("backbone", "backbone", "#0072B2"),
    _Part("head", "heads", "#E69F00"),
    _Part("scheduling", "scheduling", "#333333"),
)
_BESIDE = (
    _Part("decode", "decoding", "#56B4E9", "/////"),
    _Part("preprocess", "preprocessing", "#CC79A7", "xxxxxx"),
)


def bench_time_figure(shown: ShownBench) -> Figure:
    """Build the stacked shares of time, in percent of the time per video.

    Raises:
        RunError: no contender's times were recorded.
    """
    from .style import figure_style

    found = [(row, row.shares) for row in shown.rows if row.shares is not None]
    if not found:
        raise RunError("no contender has recorded where its time goes", "repeat the benchmark")
    rows, shares = zip(*found)
    notes = note_lines([_BESIDE_NOTE, *shown.notes])
    with figure_style():
        figure, axes = bar_chart(rows, len(notes) + _LEGEND_LINES)
        _draw(axes, _STACK, shares, -0.1, 0.5)
        _draw(axes, _BESIDE, shares, 0.27, 0.18)
        axes.set_xlim(0, max(100.0, *(100 * sum(each[part.share] for part in _BESIDE) for each in shares)))
        axes.set_xlabel("Share of the time per video (%)")
        label_rows(axes, "ms/video", [_milliseconds(row) for row in rows])
        figure.legend(loc="outside upper center", ncols=3, fontsize=8)
        add_notes(figure, notes)
    return figure


def _draw(
    axes: Axes, parts: Sequence[_Part], shares: Sequence[Mapping[str, float]], offset: float, height: float
) -> None:
    """Draw the segments of all bars, ``offset`` below the position of each row."""
    places = [place + offset for place in range(len(shares))]
    left = [0.0] * len(shares)
    for part in parts:
        widths = [100 * each[part.share] for each in shares]
        axes.barh(
            places, widths, height, left, color=part.color, edgecolor="white", hatch=part.hatch, linewidth=0.3,
            label=part.name,
        )  # fmt: skip
        left = [start + width for start, width in zip(left, widths)]


def _milliseconds(row: BenchRow) -> str:
    assert row.videos_per_s is not None
    return f"{1e3 / row.videos_per_s[0]:.3g}"
