"""Stream options: run clips one at a time for latency, or in batches for throughput."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import UsageError
from ...option_fields import option, option_record
from ..telemetry.cpus import usable_cpus
from .schedules import SCHEDULES, InFlight, Sequential, make_schedule

SLOTS = 8
STEP, SPECULATIVE = "step", "speculative"
SYNCS = (STEP, SPECULATIVE)
MODES = {"latency": Sequential.name, "throughput": InFlight.name}


@dataclass(frozen=True)
class StreamOptions:
    """Batching, prefetching and synchronization of a stream.

    The defaults of ``schedule`` and ``slots`` depend on ``mode``. By default, there is a reader thread per CPU that
    the process may use, but no more than slots, since a clip is read by one thread at a time (docs/reading.md). With
    ``sync="speculative"``, the next frame is started before the gate's result is known, if its pixels are ready. Unused
    work is counted; it is at most one backbone row and one frame per clip.

    ``max_wait_s`` is not exposed as a command-line option. A submitted clip that has waited for a slot longer than this
    is rejected with an OverloadError, as serving systems do when requests arrive faster than they can be answered.
    None: clips wait as long as necessary.
    """

    schedule: str = option(
        "Batching schedule.",
        default=None,
        values=lambda: SCHEDULES,
        show_default="sequential; inflight for throughput",
    )
    slots: int = option("Videos in the batch.", default=None, minimum=1, show_default="8; 1 for sequential")
    prefetch: int = option("Frames of a video to read before they are needed.", default=0, minimum=0)
    workers: int = option(
        "Threads that prefetch frames.", default=None, minimum=1, show_default="one per CPU, at most one per slot"
    )
    sync: str = option(
        "When the next frame starts: after the gate's decision, or speculatively.",
        default=STEP,
        values=lambda: SYNCS,
        deprecated={"late": SPECULATIVE},
    )
    mode: str = option("One video at a time, or many.", default="latency", values=lambda: MODES)
    max_wait_s: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UsageError(f"unknown mode {self.mode!r}", f"choose one of {', '.join(MODES)}")
        if self.schedule is None:
            object.__setattr__(self, "schedule", MODES[self.mode])
        if self.slots is None:
            object.__setattr__(self, "slots", 1 if self.schedule == Sequential.name else SLOTS)
        if self.workers is None:
            object.__setattr__(self, "workers", min(usable_cpus(), max(1, self.slots)))

    def check(self) -> None:
        """Raise UsageError if a value is out of range."""
        make_schedule(self.schedule, self.slots)
        if self.prefetch < 0:
            raise UsageError(f"--prefetch must be 0 or more, got {self.prefetch}", "set --prefetch to 0 or more")
        if self.workers < 1:
            raise UsageError(f"--workers must be 1 or more, got {self.workers}", "set --workers to 1 or more")
        if self.sync not in SYNCS:
            raise UsageError(f"unknown --sync value {self.sync!r}", f"choose one of {', '.join(SYNCS)}")
        if self.sync == SPECULATIVE and not self.prefetch:
            raise UsageError("--sync speculative requires prefetched frames", "set --prefetch to 1 or more")

    def record(self) -> dict[str, Any]:
        """Return the options as JSON; see `from_record`."""
        return option_record(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> StreamOptions:
        """Return the options stored in a record.

        Raises:
            TypeError: the record has unknown fields.
        """
        return cls(**record)


LATENCY = StreamOptions(Sequential.name, slots=1, prefetch=1)
THROUGHPUT = StreamOptions(InFlight.name, slots=SLOTS, prefetch=1)
