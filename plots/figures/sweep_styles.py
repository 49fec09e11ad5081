"""How the groups of exit policies look in a figure, and the strokes that draw them.

Every group has a color, a marker and a stroke of its own, so that each is identifiable by any one of the three. The
table lists vbench's own groups; others, which installed packages add, take a style by their place among themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .style import PALETTE

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

Stroke = str | tuple[int, tuple[float, ...]]

_MARKERS_ON_A_LINE = 9
_CLOUD_ALPHA = 0.13
_BAND = "#E3E3E3"


@dataclass(frozen=True)
class Look:
    """What the legend says, and colour, marker and stroke."""

    label: str
    colour: str
    marker: str
    stroke: Stroke = "None"


STYLES = {
    "gates": Look("gates, one threshold for all", PALETTE[0], "s", "-"),
    "searched": Look("one threshold each (searched on these videos)", PALETTE[1], "D", (0, (7, 2))),
    "confidence": Look("confidence", PALETTE[2], "^", (0, (4, 1.5, 1, 1.5))),
    "entropy": Look("entropy", PALETTE[3], "P", (0, (1.2, 1.2))),
    "patience": Look("patience", PALETTE[4], "X", (0, (6, 1.5, 1, 1.5, 1, 1.5))),
    "fixed": Look("fixed number of frames", PALETTE[5], "p", (0, (3, 1))),
    "cascade": Look("cascade of frame counts", PALETTE[0], "<", "-"),
    "random": Look("random: what chance reaches", "#808080", "None", (0, (5, 3))),
}
DEFAULT = Look("default policy", "black", "H")
ORACLE = Look("oracle (not runnable)", "black", "*")
# Of other groups, whose number is not known beforehand.
_COLORS = ("#882255", "#44AA99", "#999933", "#332288")
_MARKERS = (">", "d", "h", "8")
_STROKES: tuple[Stroke, ...] = ((0, (9, 1.5)), (0, (2, 2)), (0, (8, 2, 2, 2)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 2.5)))


def group_styles(groups: Sequence[str]) -> dict[str, Look]:
    """Return the looks of groups whose points can be run, in the order of a legend: vbench's own, then the others."""
    others = [group for group in dict.fromkeys(groups) if group not in STYLES]
    known = {group: look for group, look in STYLES.items() if group in groups}
    return known | {group: _other(group, place) for place, group in enumerate(others)}


def bound_style(group: str) -> Look:
    """Return the look of a group that cannot be run, and bounds what can."""
    return ORACLE if group == "oracle" else Look(f"{group} (not runnable)", ORACLE.colour, ORACLE.marker)


def _other(group: str, place: int) -> Look:
    color, marker, stroke = (table[place % len(table)] for table in (_COLORS, _MARKERS, _STROKES))
    return Look(group, str(color), str(marker), stroke)


def draw_envelope(axes: Axes, x: Sequence[float], y: Sequence[float], look: Look) -> Artist:
    """Draw a line from left to right with few markers, both ends among them."""
    last = len(x) - 1
    count = min(len(x), _MARKERS_ON_A_LINE)
    marked = sorted({round(place * last / max(count - 1, 1)) for place in range(count)})
    # A line of one point has nothing but its marker.
    marker = "_" if look.marker == "None" and not last else look.marker
    (line,) = axes.plot(
        x,
        y,
        color=look.colour,
        linestyle=look.stroke,
        marker=marker,
        markevery=marked,
        markersize=5.5,
        markeredgecolor=look.colour if marker == "_" else "white",
        markeredgewidth=0.5,
        label=look.label,
        zorder=2.5 if look.marker == "None" else 3,
    )
    return line


def draw_alone(axes: Axes, x: Sequence[float], y: Sequence[float], look: Look) -> Artist:
    """Draw points that no line joins: big, above all else, hollow for a policy that can be run."""
    hollow = look is DEFAULT
    (line,) = axes.plot(
        x,
        y,
        color=look.colour,
        linestyle="None",
        marker=look.marker,
        markersize=11 if hollow else 12,
        markerfacecolor="none" if hollow else look.colour,
        markeredgewidth=1.8 if hollow else 0.5,
        markeredgecolor="black" if hollow else "white",
        label=look.label,
        zorder=5,
    )
    return line


def draw_band(axes: Axes, x: Sequence[float], bounds: Sequence[tuple[float, ...]]) -> Artist:
    """Draw the intervals (low, high) of the front as a light band."""
    low, high = zip(*bounds)
    label = "95 % interval of the Pareto front"
    return axes.fill_between(x, low, high, color=_BAND, linewidth=0, label=label, zorder=0.5)


def draw_cloud(axes: Axes, x: Sequence[float], y: Sequence[float], look: Look) -> None:
    """Draw every point of a group faintly; as pixels, since thousands of shapes make a heavy file."""
    axes.scatter(x, y, s=5, color=look.colour, alpha=_CLOUD_ALPHA, linewidths=0, zorder=1, rasterized=True)
