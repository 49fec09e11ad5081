"""A page measured in inches, on which the parts of a film strip are laid out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE, SMALL, TINY = 8.5, 7.0, 6.5  # points
GREY, PALE, INK = "#6E6E6E", "#B9C4CC", "#1A1A1A"


class Page:
    """A figure measured in inches from its upper left corner."""

    def __init__(self, figure: Figure) -> None:
        self._figure = figure
        self.width, self.height = map(float, figure.get_size_inches())

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Return axes without frame and ticks."""
        box = (x / self.width, 1 - (y + height) / self.height, width / self.width, height / self.height)
        axes = self._figure.add_axes(box)
        axes.set_axis_off()
        return axes

    def text(self, x: float, y: float, text: str, **look: Any) -> None:
        """Write at ``y``, the middle of the line; no ``$`` is read as mathematics."""
        look = {"fontsize": SMALL, "va": "center", "color": INK, **look}
        self._figure.text(x / self.width, 1 - y / self.height, text, parse_math=False, **look)
