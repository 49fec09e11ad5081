"""How clips are run: one at a time for latency, or many at a time for throughput."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import UsageError
from .schedules import InFlight, Sequential, make_schedule

SLOTS = 8
STEP, LATE = "step", "late"
SYNCS = (STEP, LATE)
_SCHEDULE_OF_MODE = {"latency": Sequential.name, "throughput": InFlight.name}


@dataclass(frozen=True)
class StreamOptions:
    """How clips are run.

    Attributes:
        schedule: ``sequential``, ``lockstep``, ``compact`` or ``inflight``.
        slots: number of clips in the batch.
        prefetch: frames of a clip that are read before they are asked for; 0 reads on the calling thread.
        workers: threads that read, if ``prefetch`` is not 0.
        sync: ``step`` waits for what the gates say before the next frame is started; ``late`` starts it, where its
            pixels are there, and counts what turns out to be in vain: at most a backbone row and a frame a clip.
    """

    schedule: str = "sequential"
    slots: int = 1
    prefetch: int = 0
    workers: int = 1
    sync: str = STEP

    def check(self) -> None:
        """Raise UsageError if a value is out of range."""
        make_schedule(self.schedule, self.slots)
        if self.prefetch < 0:
            raise UsageError(f"cannot read {self.prefetch} frames ahead", "give --prefetch 0 or more")
        if self.workers < 1:
            raise UsageError(f"{self.workers} workers read nothing", "give --workers 1 or more")
        if self.sync not in SYNCS:
            raise UsageError(f"no sync {self.sync!r}", f"choose one of {', '.join(SYNCS)}")
        if self.sync == LATE and not self.prefetch:
            raise UsageError("--sync late starts frames that were read ahead", "give --prefetch 1 or more")


LATENCY = StreamOptions(Sequential.name, slots=1, prefetch=1)
THROUGHPUT = StreamOptions(InFlight.name, slots=SLOTS, prefetch=1)


def stream_options(
    mode: str, schedule: str | None, slots: int | None, prefetch: int, workers: int, sync: str = STEP
) -> StreamOptions:
    """Return checked options; ``schedule`` and ``slots`` follow from ``mode`` (latency or throughput) if not given.

    Raises:
        UsageError: a value is out of range, or the schedule does not fit the mode.
    """
    if mode not in _SCHEDULE_OF_MODE:
        raise UsageError(f"no mode {mode!r}", f"choose one of {', '.join(_SCHEDULE_OF_MODE)}")
    chosen = schedule or _SCHEDULE_OF_MODE[mode]
    options = StreamOptions(chosen, slots or (1 if chosen == Sequential.name else SLOTS), prefetch, workers, sync)
    options.check()
    return options
