"""Number the points of a figure without overlaps: each number moves away from its point until it finds free space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# In points (1/72 inch).
_FONT_SIZE = 7.0
_DIGIT_WIDTH = 0.62 * _FONT_SIZE
_MARKER = 7.0
_NEAR = 8.0
_LANE = 8.5
_ASIDE = 9.5
_LANES = 24


class _Box(NamedTuple):
    """A rectangle: center and size."""

    x: float
    y: float
    width: float
    height: float

    def overlaps(self, other: _Box) -> bool:
        return (
            2 * abs(self.x - other.x) < self.width + other.width
            and 2 * abs(self.y - other.y) < self.height + other.height
        )


def number_points(figure: Figure, axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    """Write 1, 2, ... next to ``points``, given in data coordinates, with lines to those that are far away.

    Call it after everything else is drawn; use it within ``figure_style``.
    """
    figure.draw_without_rendering()  # lays out the axes
    pixels = axes.transData.transform(points)
    middle = float(axes.bbox.y0 + axes.bbox.y1) / 2
    scale = 72 / figure.dpi
    centers = [(float(x) * scale, float(y) * scale) for x, y in pixels]
    taken = [_Box(x, y, _MARKER, _MARKER) for x, y in centers]
    for number in sorted(range(len(points)), key=lambda place: centers[place]):
        x, y = centers[number]
        text = str(number + 1)
        boxes = [
            _Box(x + dx, y + dy, _DIGIT_WIDTH * len(text) + 1, _FONT_SIZE)
            for dx, dy in _offsets(down=float(pixels[number][1]) > middle)
        ]
        box = next((box for box in boxes if not any(map(box.overlaps, taken))), boxes[0])
        taken.append(box)
        _write(axes, text, points[number], (box.x - x, box.y - y))


def _offsets(*, down: bool) -> Iterator[tuple[float, float]]:
    """Yield candidate offsets for a number, nearest first: mostly below its point if ``down``, else mostly above."""
    side = -1 if down else 1
    yield 0.0, side * _NEAR
    yield 0.0, -side * _NEAR
    for lane in range(1, _LANES):
        for aside in (0.0, -_ASIDE, _ASIDE):
            yield aside, side * (_NEAR + lane * _LANE)


def _write(axes: Axes, text: str, point: tuple[float, float], offset: tuple[float, float]) -> None:
    if abs(offset[1]) > 1.5 * _NEAR:
        # Behind all numbers, whose white background interrupts it.
        leader = {"arrowstyle": "-", "linewidth": 0.4, "color": "#888888", "shrinkA": 0, "shrinkB": 3}
        axes.annotate("", point, xytext=offset, textcoords="offset points", arrowprops=leader, zorder=2)
    axes.annotate(
        text,
        point,
        xytext=offset,
        textcoords="offset points",
        fontsize=_FONT_SIZE,
        horizontalalignment="center",
        verticalalignment="center",
        bbox={"boxstyle": "square,pad=0.05", "facecolor": "white", "edgecolor": "none"},
        zorder=2.5,
    )
