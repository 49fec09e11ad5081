"""Styles of the policy groups in a sweep figure, and the functions that draw them.

Every group has its own color, marker and line style, so that any one of the three identifies it. The table
lists the built-in groups; groups added by installed packages are assigned styles in order of appearance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...bench.sweep.envelope import ENVELOPE
from .style import PALETTE

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

LineStyle = str | tuple[int, tuple[float, ...]]

_MARKERS_ON_A_LINE = 9
_CLOUD_ALPHA = 0.13
_BAND = "#E3E3E3"


@dataclass(frozen=True)
class GroupStyle:
    """Legend label, color, marker and line style of a group; ``size`` is the size of unconnected markers."""

    label: str
    color: str
    marker: str
    stroke: LineStyle = "None"
    size: float = 12


STYLES = {
    "gates": GroupStyle("gates, one threshold for all", PALETTE[0], "s", "-"),
    "searched": GroupStyle("one threshold each (searched on these videos)", PALETTE[1], "D", (0, (7, 2))),
    "confidence": GroupStyle("confidence", PALETTE[2], "^", (0, (4, 1.5, 1, 1.5))),
    "entropy": GroupStyle("entropy", PALETTE[3], "P", (0, (1.2, 1.2))),
    "patience": GroupStyle("patience", PALETTE[4], "X", (0, (6, 1.5, 1, 1.5, 1, 1.5))),
    "fixed": GroupStyle("fixed number of frames", PALETTE[5], "p", (0, (3, 1))),
    "cascade": GroupStyle("cascade of frame counts", PALETTE[0], "<", "-"),
    ENVELOPE: GroupStyle("envelope of gate sets (held out)", "black", "None", (0, (1, 1))),
    "random": GroupStyle("random (chance level)", "#808080", "None", (0, (5, 3))),
}
DEFAULT = GroupStyle("default policy", "black", "H", size=11)
SETS = GroupStyle("gate sets, each as fitted", "#882255", "o", size=7)
ORACLE = GroupStyle("oracle (not runnable)", "black", "*")
# For groups that other packages add: their number is not known in advance.
_COLORS = ("#882255", "#44AA99", "#999933", "#332288")
_MARKERS = (">", "d", "h", "8")
_STROKES: tuple[LineStyle, ...] = (
    (0, (9, 1.5)),
    (0, (2, 2)),
    (0, (8, 2, 2, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (1, 2.5)),
)


def group_styles(groups: Sequence[str]) -> dict[str, GroupStyle]:
    """Return the styles of runnable groups in legend order: built-in groups first, then the others."""
    others = [group for group in dict.fromkeys(groups) if group not in STYLES]
    known = {group: style for group, style in STYLES.items() if group in groups}
    return known | {group: _other_style(group, place) for place, group in enumerate(others)}


def bound_style(group: str) -> GroupStyle:
    """Return the style of a group that cannot be run and only bounds the others."""
    return ORACLE if group == "oracle" else GroupStyle(f"{group} (not runnable)", ORACLE.color, ORACLE.marker)


def _other_style(group: str, place: int) -> GroupStyle:
    color, marker, stroke = (table[place % len(table)] for table in (_COLORS, _MARKERS, _STROKES))
    return GroupStyle(group, str(color), str(marker), stroke)


def draw_envelope(axes: Axes, x: Sequence[float], y: Sequence[float], style: GroupStyle) -> Artist:
    """Draw a line with a few markers, including one at each end."""
    last = len(x) - 1
    count = min(len(x), _MARKERS_ON_A_LINE)
    marked = sorted({round(place * last / max(count - 1, 1)) for place in range(count)})
    # A line with a single point is visible only through its marker.
    marker = "_" if style.marker == "None" and not last else style.marker
    (line,) = axes.plot(
        x,
        y,
        color=style.color,
        linestyle=style.stroke,
        marker=marker,
        markevery=marked,
        markersize=5.5,
        markeredgecolor=style.color if marker == "_" else "white",
        markeredgewidth=0.5,
        label=style.label,
        zorder=2.5 if style.marker == "None" else 3,
    )
    return line


def draw_points(axes: Axes, x: Sequence[float], y: Sequence[float], style: GroupStyle) -> Artist:
    """Draw unconnected points: large, on top, and hollow for the default policy."""
    hollow = style is DEFAULT
    (line,) = axes.plot(
        x,
        y,
        color=style.color,
        linestyle="None",
        marker=style.marker,
        markersize=style.size,
        markerfacecolor="none" if hollow else style.color,
        markeredgewidth=1.8 if hollow else 0.5,
        markeredgecolor="black" if hollow else "white",
        label=style.label,
        zorder=5,
    )
    return line


def draw_band(axes: Axes, x: Sequence[float], bounds: Sequence[tuple[float, ...]]) -> Artist:
    """Draw the confidence intervals (low, high) of the front as a light band."""
    low, high = zip(*bounds)
    label = "95 % interval of the Pareto front"
    return axes.fill_between(x, low, high, color=_BAND, linewidth=0, label=label, zorder=0.5)


def draw_cloud(axes: Axes, x: Sequence[float], y: Sequence[float], style: GroupStyle) -> None:
    """Draw every point of a group faintly, rasterized because thousands of vector shapes make a large file."""
    axes.scatter(x, y, s=5, color=style.color, alpha=_CLOUD_ALPHA, linewidths=0, zorder=1, rasterized=True)
