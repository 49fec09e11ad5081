"""Order in which FrameExit reads its frames: coarse to fine over the video."""

from __future__ import annotations

from itertools import pairwise

AUTHORS_ORDER = (5, 0, 9, 2, 7, 4, 6, 3, 8, 1)


def frame_order(frames: int) -> tuple[int, ...]:
    """Return the coarse-to-fine order in which ``frames`` sampled frames are read.

    For 10 frames, it is the list hard-coded in the authors' evaluation. For other numbers, which their code does not
    support, it follows the rule in the paper's appendix A: the middle frame, the first, the last, and then repeatedly
    the middle of the widest remaining gap (the leftmost if several are equally wide).
    """
    if frames == len(AUTHORS_ORDER):
        return AUTHORS_ORDER
    order = list(dict.fromkeys((frames // 2, 0, frames - 1)))
    while len(order) < frames:
        seen = sorted(order)
        width, left = max(((b - a), -a) for a, b in pairwise(seen))
        order.append(-left + width // 2)
    return tuple(order)
