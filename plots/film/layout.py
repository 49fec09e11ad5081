"""The layout of a film strip: a page measured in inches, its words, and texts cut to the room that they have."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from ...bench.explain.explanation import Explanation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE, SMALL, TINY = 8.5, 7.0, 6.5  # points
GRAY, PALE, INK = "#6E6E6E", "#B9C4CC", "#1A1A1A"
_POINTS_PER_INCH = 72
_ELLIPSIS = "…"
_HINTING = 1.03  # as drawn, letters are rounded to whole pixels


class Canvas:
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

    def text(self, x: float, y: float, text: str, **style: Any) -> None:
        """Write at ``y``, the middle of the line; no ``$`` is read as mathematics."""
        style = {"fontsize": SMALL, "va": "center", "color": INK, **style}
        self._figure.text(x / self.width, 1 - y / self.height, text, parse_math=False, **style)


def true_text(explanation: Explanation) -> str:
    """Return the true classes of the video, to follow its name; nothing where they are unknown."""
    true = explanation.true_classes
    return "" if true is None else f": {', '.join(true) or 'of no class'}"


def outcome_text(explanation: Explanation) -> str:
    """Say what the answer is, what it took and, where that is known, whether it is right."""
    answer = explanation.answer
    verdict = {True: ", right", False: ", wrong", None: ""}[answer.right]
    seen = f"{explanation.exit_step} of {explanation.sampled} frames"
    # The name comes last: if there is no room, it is cut and the rest is not.
    return f"answer after {seen} ({answer.probability:.2f}{verdict}): {answer.name}"


def ordinal(number: int) -> str:
    """Spell 1 as ``1st``, 2 as ``2nd``, 11 as ``11th``."""
    last = 0 if number % 100 in (11, 12, 13) else number % 10
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(last, 'th') }"


def truncate(text: str, inches: float, points: float, *, bold: bool = False, keep_end: bool = False) -> str:
    """Return the text on one line, cut with an ellipsis if it is wider than so many inches in letters of ``points``.

    With ``keep_end`` it is cut in its front, as a path is: its end tells more.
    """
    text = " ".join(text.split())
    if _inches(text, points, bold) <= inches:
        return text
    # The longer the cut, the wider it is: halve until the longest that fits is found.
    kept = bisect_right(
        range(1, len(text)), inches, key=lambda length: _inches(_cut(text, length, keep_end), points, bold)
    )
    return _cut(text, kept, keep_end)


def _cut(text: str, length: int, keep_end: bool) -> str:
    """Keep so many characters of a text."""
    return _ELLIPSIS + text[len(text) - length :].lstrip() if keep_end else text[:length].rstrip() + _ELLIPSIS


def _inches(text: str, points: float, bold: bool) -> float:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal", size=points)
    width: float = TextToPath().get_text_width_height_descent(text, font, ismath=False)[0]
    return width / _POINTS_PER_INCH * _HINTING
