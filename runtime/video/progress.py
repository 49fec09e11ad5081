"""Progress of the read that a thread is executing, to distinguish slow reads from reads that hang."""

from __future__ import annotations

import threading


class Progress:
    """Counts the packets and frames that a read has processed; written by its own thread, read by others."""

    def __init__(self) -> None:
        self.count = 0


_current = threading.local()


def observe(progress: Progress) -> None:
    """From now on, count the progress of this thread's reads in ``progress``."""
    _current.progress = progress


def note_progress() -> None:
    """Record that this thread's read has processed a packet or a frame."""
    progress: Progress | None = getattr(_current, "progress", None)
    if progress is not None:
        progress.count += 1
