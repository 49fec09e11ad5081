"""Clips under way: what each has come to and has cost so far, and time shared out between them without a gap."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from ..inputs.prefetch import Feed
from ..networks.frameexit_decider import Case, Verdict
from .results import Answer, Cost, Step


@dataclass(eq=False)
class Running:
    """A clip that has a slot, or whose last verdict is under way."""

    feed: Feed
    begin_s: float
    case: Case
    filled: bool = False  # its pixels are in its slot
    scores: list[float] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    elapsed_s: float = 0.0  # its share of the time since its last verdict
    cost: Cost = field(default_factory=Cost)

    def note(self, verdict: Verdict, now_s: float) -> Answer | None:
        """Take the verdict on its next step, and return its answer if that ends it."""
        self.cost.macs += verdict.macs
        self.cost.macs_in_vain += verdict.macs_in_vain
        self.steps.append(Step(verdict.gate, verdict.logits, self.elapsed_s, now_s - self.begin_s))
        self.elapsed_s = 0.0
        if verdict.score is not None:
            self.scores.append(verdict.score)
        if not verdict.ends:
            return None
        assert verdict.logits is not None
        return Answer(verdict.logits, len(self.steps), tuple(self.scores), tuple(self.steps))


class Ledger:
    """The time of a stream, shared out over its clips: all of it, whatever it was spent on."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tick_end_s = self._answer_s = clock()
        self._wait_s = 0.0

    def waited(self, wait_s: float) -> None:
        """Note time in which pixels were waited for."""
        self._wait_s += wait_s

    def share(self, clips: Collection[Running], backbone_s: float, head_s: float) -> None:
        """Share out the time since the last tick; what is left of it was scheduling."""
        now, count = self._clock(), len(clips)
        elapsed_s = now - self._tick_end_s
        other_s = elapsed_s - self._wait_s - backbone_s - head_s
        for clip in clips:
            clip.elapsed_s += elapsed_s / count
            clip.cost.wait_s += self._wait_s / count
            clip.cost.backbone_s += backbone_s / count
            clip.cost.head_s += head_s / count
            clip.cost.scheduling_s += other_s / count
        self._tick_end_s, self._wait_s = now, 0.0

    def close(self, clip: Running) -> Cost:
        """Return what a clip has cost in the end."""
        now = self._clock()
        clip.feed.close()
        clip.cost.read = replace(clip.feed.cost)
        clip.cost.latency_s, clip.cost.elapsed_s = now - clip.begin_s, now - self._answer_s
        self._answer_s = now
        return clip.cost
