"""One step in a film strip: frame, policy decision and most probable classes."""

from __future__ import annotations

from typing import Any

from ...bench.explain.explanation import Explanation, StepView
from .layout import GRAY, INK, PALE, SIZE, SMALL, TINY, Canvas, ordinal, truncate

HEAD_INCHES, LINE_INCHES, BAR_INCHES = 0.31, 0.15, 0.175
_DIM = 0.4


class Cell:
    """One step: heading, picture, policy decision and most probable classes."""

    def __init__(
        self,
        page: Canvas,
        explanation: Explanation,
        view: StepView,
        place: tuple[float, float],
        width: float,
        picture_height: float,
    ) -> None:
        self._page, self._explanation, self._view = page, explanation, view
        (self._x, self._y), self._width, self._picture_height = place, width, picture_height
        self._is_exit = view.step == explanation.exit_step
        self._seen = view.step <= explanation.exit_step

    def draw(self, lines: int) -> None:
        """Draw the cell, reserving ``lines`` text lines for the policy decision."""
        view, ink = self._view, INK if self._seen else GRAY
        place = f"frame {view.position}, {ordinal(view.place)} of {self._explanation.sampled}"
        head = f"step {view.step}" if self._seen else f"step {view.step} (not seen)"
        self._line(0.09, head, color=ink, weight="bold", fontsize=SIZE if self._seen else SMALL)
        self._line(0.225, place, color=GRAY, fontsize=TINY)
        self._picture()
        below = HEAD_INCHES + self._picture_height + 0.04
        for number, text in enumerate(decision_lines(self._explanation, view, self._width)):
            self._line(below + (number + 0.5) * LINE_INCHES, text, fontsize=TINY, **self._decision_style())
        self._bars(self._y + below + lines * LINE_INCHES + 0.01)

    def _line(self, y: float, text: str, **style: Any) -> None:
        size = style.get("fontsize", SMALL)
        shown = truncate(text, self._width, size, bold=style.get("weight") == "bold")
        self._page.text(self._x, self._y + y, shown, **style)

    def _decision_style(self) -> dict[str, Any]:
        from ..figures.style import PALETTE

        return {"color": PALETTE[1] if self._is_exit else INK if self._seen else GRAY}

    def _picture(self) -> None:
        from matplotlib.patches import Rectangle

        from ..figures.style import PALETTE

        height, width = self._view.picture.shape[:2]
        axes = self._page.axes(self._x, self._y + HEAD_INCHES, self._width, self._picture_height)
        axes.imshow(self._view.picture, alpha=1.0 if self._seen else _DIM, interpolation="antialiased")
        if cropped(self._explanation, self._view):
            side = self._explanation.seen_share * min(height, width)
            corner = ((width - side) / 2 - 0.5, (height - side) / 2 - 0.5)
            style: dict[str, Any] = {"fill": False, "linestyle": (0, (2, 2)), "linewidth": 0.7, "alpha": 0.9}
            axes.add_patch(Rectangle(corner, side, side, edgecolor="white", **style))
        if self._is_exit:
            frame = Rectangle((-0.5, -0.5), width, height, fill=False, edgecolor=PALETTE[1], linewidth=3.5)
            frame.set_clip_on(False)
            axes.add_patch(frame)

    def _bars(self, top: float) -> None:
        from ..figures.style import PALETTE

        for rank, score in enumerate(self._view.top):
            y = top + rank * BAR_INCHES
            axes = self._page.axes(self._x, y, self._width, BAR_INCHES - 0.025)
            axes.set_xlim(0, 1)
            axes.set_ylim(0, 1)
            alpha = 1.0 if self._seen else 0.5
            axes.barh(0.5, 1, height=1, color="#F1F1F1", alpha=alpha)
            axes.barh(0.5, score.probability, height=1, color=PALETTE[4] if score.right else PALE, alpha=alpha)
            style: dict[str, Any] = {"color": INK if self._seen else GRAY, "weight": "normal" if rank else "bold"}
            number = f"{score.probability:.2f}"
            mark = "✓ " if score.right else ""
            room = self._width - 0.07 - 0.062 * len(number)
            name = truncate(mark + score.name, room, SMALL, bold=not rank)
            middle = y + (BAR_INCHES - 0.025) / 2 + 0.005
            self._page.text(self._x + 0.03, middle, name, **style)
            self._page.text(self._x + self._width - 0.03, middle, number, ha="right", **style)


def cropped(explanation: Explanation, view: StepView) -> bool:
    """Return whether the network's input crops the frame by at least one pixel."""
    height, width = view.picture.shape[:2]
    return bool(explanation.seen_share * min(height, width) < max(height, width) - 1)


def decision_lines(explanation: Explanation, view: StepView, width: float) -> list[str]:
    """Return the text of the policy decision, on two lines if the reason for the exit does not fit on one."""
    text = view.decision.text
    if view.step != explanation.exit_step:
        return [text]
    whole = f"exit: {text}"
    return [whole] if truncate(whole, width, TINY) == whole else ["exit:", text]
