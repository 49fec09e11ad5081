"""The scheduling loop, which runs a stream of clips through a program.

Every clip yields a result, in order of completion. The result of a clip that failed is its error; other clips are not
affected.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from functools import partial

from ...errors import UsageError
from .active_clip import Clock
from .decision import StepDecision
from .executor import StepExecutor
from .options import SPECULATIVE, StreamOptions
from .program import StepProgram
from .results import ClipResult, Prediction, predict
from .scheduler import ClipScheduler
from .schedules import make_schedule
from .waiting_queue import OpenInput, WaitingQueue


class ClipStream:
    """Runs clips through the slots of a schedule as they arrive.

    Clips come from an iterable, from `submit`, or both; `results` ends once all clips have ended and `finish` has been
    called. A submitted clip that waits for a slot longer than ``options.max_wait_s`` ends with an OverloadError.

    Thread safety: `submit` and `finish` may be called from any thread. `results` and `close` belong to the thread that
    first requests a result; any other thread that requests results gets a UsageError. Only the first thread uses the
    engine, the program and the scheduler; a reader is used by one thread at a time.
    """

    def __init__(
        self,
        program: StepProgram,
        open_input: OpenInput,
        options: StreamOptions,
        clips: Iterable[object] = (),
        clock: Clock = time.perf_counter,
    ) -> None:
        """Create a stream of ``clips`` and submitted clips; ``open_input`` opens each shortly before it is scheduled.

        Raises:
            UsageError: an option is out of range.
        """
        options.check()
        self._queue = WaitingQueue(clips, open_input, program.steps, options, clock, reads_ahead=program.reads_ahead)
        schedule = make_schedule(options.schedule, options.slots)
        self._scheduler = ClipScheduler(self._queue, schedule, program.steps, partial(_predict, program), clock)
        self._executor = StepExecutor(program, clock, speculative=options.sync == SPECULATIVE)
        self._owner: int | None = None

    def submit(self, clip: object) -> int:
        """Add a clip, even while others run, and return its number, which identifies its result.

        Raises:
            RuntimeError: `finish` or `close` has been called.
        """
        return self._queue.submit(clip)

    def finish(self) -> None:
        """Accept no more submissions; `results` ends once all clips have ended."""
        self._queue.finish()

    def results(self) -> Iterator[ClipResult]:
        """Yield each clip's result as soon as it is known, waiting for submissions if no clip is active.

        Raises:
            UsageError: another thread has already taken a result.
        """
        self._check_thread()
        while (batch := self._scheduler.schedule()) is not None:
            yield from self._scheduler.update(batch, self._executor.run(batch))

    def close(self) -> None:
        """Stop all reading; clips that have not ended get no result."""
        self._scheduler.close()

    def _check_thread(self) -> None:
        current = threading.get_ident()
        if self._owner not in (None, current):
            raise UsageError(
                "the results of a stream belong to the thread that took the first one",
                "take all results in that thread",
            )
        self._owner = current


def _predict(program: StepProgram, decision: StepDecision, exit_step: int, macs: int) -> Prediction:
    """Return the prediction for a clip; not a method because a bound method would create a reference cycle."""
    assert decision.logits is not None
    frames_used = decision.views * program.frames_used(exit_step)
    names, output = program.class_names, program.output
    return predict(decision.logits, names, output, exit_step=exit_step, frames_used=frames_used, macs=macs)
