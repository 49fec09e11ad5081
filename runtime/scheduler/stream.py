"""Run many clips through a program: the loop.

All results come out, in the order in which they are found; a clip that fails comes out with its error and never
disturbs the others.
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
    """Clips that run through the slots of a schedule as they arrive.

    Clips come from an iterable, from `submit`, or both; `results` ends when all have ended and `finish` was called.

    Thread safety: `submit` and `finish` may be called from any thread. `results` and `close` belong to one thread, the
    one that first asks for a result; another one gets a UsageError. Engine, program and scheduler are used by that
    thread only, readers by one thread at a time.
    """

    def __init__(
        self,
        program: StepProgram,
        open_input: OpenInput,
        options: StreamOptions,
        clips: Iterable[object] = (),
        clock: Clock = time.perf_counter,
    ) -> None:
        """Open each of ``clips``, and each that is submitted, by ``open_input`` when its turn has come.

        Raises:
            UsageError: an option is out of range.
        """
        options.check()
        self._queue = WaitingQueue(clips, open_input, program.steps, options, reads_ahead=program.reads_ahead)
        schedule = make_schedule(options.schedule, options.slots)
        self._scheduler = ClipScheduler(self._queue, schedule, program.steps, partial(_predict, program), clock)
        self._executor = StepExecutor(program, clock, speculative=options.sync == SPECULATIVE)
        self._owner: int | None = None

    def submit(self, clip: object) -> int:
        """Add a clip while others run, and return its number, which its result will carry.

        Raises:
            RuntimeError: `finish` or `close` was called.
        """
        return self._queue.submit(clip)

    def finish(self) -> None:
        """Take no more submissions; `results` ends when all clips have ended."""
        self._queue.finish()

    def results(self) -> Iterator[ClipResult]:
        """Yield the result of every clip as soon as it is known; waits for submissions where there is nothing to run.

        Raises:
            UsageError: another thread takes the results.
        """
        self._check_thread()
        while (batch := self._scheduler.schedule()) is not None:
            yield from self._scheduler.update(batch, self._executor.run(batch))

    def close(self) -> None:
        """Stop all reading; clips that have not ended have no result."""
        self._scheduler.close()

    def _check_thread(self) -> None:
        current = threading.get_ident()
        if self._owner not in (None, current):
            raise UsageError("the results of a stream belong to the thread that first took one", "take them there")
        self._owner = current


def _predict(program: StepProgram, decision: StepDecision, exit_step: int, macs: int) -> Prediction:
    """Return the prediction of a clip; no method of the stream, which would then outlive its use in a cycle."""
    assert decision.logits is not None
    frames_used = program.frames_used(exit_step)
    return predict(decision.logits, program.class_names, exit_step=exit_step, frames_used=frames_used, macs=macs)
