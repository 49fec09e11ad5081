"""Layout of a film strip: a canvas measured in inches, its texts, and their truncation to the available width."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from ...bench.explain.explanation import Explanation
from ...text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE, SMALL, TINY = 8.5, 7.0, 6.5  # points
GRAY, PALE, INK = "#6E6E6E", "#B9C4CC", "#1A1A1A"
_POINTS_PER_INCH = 72
_ELLIPSIS = "…"
_HINTING = 1.03  # drawn letters are rounded to whole pixels


class Canvas:
    """A figure measured in inches from its upper left corner."""

    def __init__(self, figure: Figure) -> None:
        self._figure = figure
        self.width, self.height = map(float, figure.get_size_inches())

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Add axes, without a frame or ticks, at a position given in inches."""
        box = (x / self.width, 1 - (y + height) / self.height, width / self.width, height / self.height)
        axes = self._figure.add_axes(box)
        axes.set_axis_off()
        return axes

    def text(self, x: float, y: float, text: str, **style: Any) -> None:
        """Write a line of text centered vertically at ``y``, treating ``$`` as a plain character."""
        style = {"fontsize": SMALL, "va": "center", "color": INK, **style}
        self._figure.text(x / self.width, 1 - y / self.height, text, parse_math=False, **style)


def true_text(explanation: Explanation) -> str:
    """Return the true classes as a suffix to the video's name; empty if unknown."""
    true = explanation.true_classes
    return "" if true is None else f": {', '.join(true) or 'of no class'}"


def outcome_text(explanation: Explanation) -> str:
    """Describe the answer: frames used, probability, class and, if known, whether it is right."""
    answer = explanation.answer
    verdict = {True: ", right", False: ", wrong", None: ""}[answer.right]
    seen = f"{explanation.exit_step} of {explanation.sampled} frames"
    # The name comes last, so that truncation affects only it.
    return f"answer after {seen} ({answer.probability:.2f}{verdict}): {answer.name}"


def ordinal(number: int) -> str:
    """Return the ordinal of a number: ``1st``, ``2nd``, ``11th``."""
    last = 0 if number % 100 in (11, 12, 13) else number % 10
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(last, 'th') }"


def truncate(text: str, inches: float, points: float, *, bold: bool = False, keep_end: bool = False) -> str:
    """Return the text on one line, truncated with an ellipsis if it is wider than ``inches`` at font size ``points``.

    With ``keep_end`` the start is removed, as suits a path, whose end is more informative.
    """
    text = printable(" ".join(text.split()))
    if _inches(text, points, bold) <= inches:
        return text
    # Width grows with length, so bisect for the longest text that fits.
    kept = bisect_right(
        range(1, len(text)), inches, key=lambda length: _inches(_cut(text, length, keep_end), points, bold)
    )
    return _cut(text, kept, keep_end)


def _cut(text: str, length: int, keep_end: bool) -> str:
    """Keep ``length`` characters of a text."""
    return _ELLIPSIS + text[len(text) - length :].lstrip() if keep_end else text[:length].rstrip() + _ELLIPSIS


def _inches(text: str, points: float, bold: bool) -> float:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal", size=points)
    width: float = TextToPath().get_text_width_height_descent(text, font, ismath=False)[0]
    return width / _POINTS_PER_INCH * _HINTING
