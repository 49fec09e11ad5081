"""State of the clips in flight, and attribution of elapsed time to them (no time is unaccounted for)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from ..inputs.prefetch import Prefetcher
from .decision import ClipHistory, StepDecision
from .results import ClipCost, Step

Clock = Callable[[], float]


@dataclass(eq=False)
class ActiveClip:
    """A clip that has a slot, or whose last decision is pending."""

    number: int
    source: Prefetcher
    begin_s: float
    history: ClipHistory
    loaded: bool = False  # the input of its next step is in its slot
    steps: list[Step] = field(default_factory=list)
    elapsed_s: float = 0.0  # its share of the time since its last decision
    cost: ClipCost = field(default_factory=ClipCost)

    def record(self, decision: StepDecision, now_s: float) -> None:
        """Add the result of its next step."""
        self.cost.macs += decision.macs
        self.cost.macs_wasted += decision.macs_wasted
        latency_s = now_s - self.begin_s
        self.steps.append(Step(decision.gate, decision.logits, decision.score, self.elapsed_s, latency_s))
        self.elapsed_s = 0.0


class TimeAccounting:
    """Divides the time of a stream among its clips: all of it, whatever it was spent on.

    Between two ticks everything that is neither the engine's nor waiting for pixels counts as scheduling, what the
    caller does with the results included.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tick_end_s = self._result_s = clock()
        self._wait_s = 0.0

    def add_wait(self, wait_s: float) -> None:
        """Add time in which pixels were waited for."""
        self._wait_s += wait_s

    def skip_idle(self) -> None:
        """Leave out the time since the last tick: there was no clip to run."""
        self._tick_end_s = self._result_s = self._clock()

    def share(self, clips: Collection[ActiveClip], backbone_s: float, head_s: float) -> None:
        """Divide the time since the last tick; what is left of it was scheduling."""
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

    def close(self, clip: ActiveClip) -> ClipCost:
        """Return the final cost of a clip."""
        now = self._clock()
        clip.source.close()
        clip.cost.read = replace(clip.source.cost)
        clip.cost.latency_s, clip.cost.elapsed_s = now - clip.begin_s, now - self._result_s
        self._result_s = now
        return clip.cost
