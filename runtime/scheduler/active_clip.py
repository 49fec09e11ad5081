"""State of the clips in flight, and the attribution of all elapsed time to them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from ..inputs.prefetch import Prefetcher
from .decision import ClipHistory, StepDecision
from .results import ClipCost, State, Step

Clock = Callable[[], float]


@dataclass(eq=False)
class ActiveClip:
    """A clip that occupies a slot, or whose last decision is pending."""

    number: int
    source: Prefetcher
    begin_s: float
    history: ClipHistory
    loaded: bool = False  # whether the input of the next step is in the slot
    steps: list[Step] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    elapsed_s: float = 0.0  # the clip's share of the time since its last decision
    cost: ClipCost = field(default_factory=ClipCost)

    def record(self, decision: StepDecision, now_s: float) -> None:
        """Add the result of the clip's next step."""
        self.cost.macs += decision.macs
        self.cost.macs_wasted += decision.macs_wasted
        latency_s = now_s - self.begin_s
        other_gates = dict(decision.other_gates) or None
        self.steps.append(Step(decision.gate, decision.logits, decision.score, self.elapsed_s, latency_s, other_gates))
        if decision.state is not None:
            self.states.append(decision.state)
        self.elapsed_s = 0.0


class TimeAccounting:
    """Divides a stream's total time among its clips.

    Between two ticks, time spent neither in the engine nor waiting for pixels counts as scheduling. This includes the
    caller's processing of results.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tick_end_s = self._result_s = clock()
        self._wait_s = 0.0

    def add_wait(self, wait_s: float) -> None:
        """Add time spent waiting for pixels."""
        self._wait_s += wait_s

    def skip_idle(self) -> None:
        """Exclude the time since the last tick, because there was no clip to run."""
        self._tick_end_s = self._result_s = self._clock()

    def share(self, clips: Collection[ActiveClip], backbone_s: float, head_s: float) -> None:
        """Divide the time since the last tick among ``clips``; the remainder counts as scheduling."""
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
        """Return a clip's final cost."""
        now = self._clock()
        clip.source.close()
        clip.cost.read = replace(clip.source.cost)
        clip.cost.latency_s, clip.cost.elapsed_s = now - clip.begin_s, now - self._result_s
        self._result_s = now
        return clip.cost
