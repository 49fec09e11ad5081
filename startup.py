"""Time from the start of a process, or of a run, to the first video, by phase.

Code on that path marks its phases with `phase`, which does nothing unless a startup is being recorded. Time is
attributed to the innermost phase, so phases add up to the total.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SHOWN_S = 0.05  # shorter phases are only in the record
_OTHER = "other"


@dataclass(frozen=True)
class StartupTimes:
    """Seconds of each phase, in order of its start; a name such as ``engine/backbone`` is a part of a phase."""

    phases: dict[str, float]

    @property
    def seconds(self) -> float:
        """Total time."""
        return sum(self.phases.values())

    def record(self) -> dict[str, Any]:
        """Return the times as JSON."""
        return {"seconds": round(self.seconds, 3), "phases": {name: round(s, 4) for name, s in self.phases.items()}}

    def text(self) -> str:
        """Describe the times in one line, with the parts of a phase added up."""
        whole: dict[str, float] = {}
        for name, seconds in self.phases.items():
            head = name.partition("/")[0]
            whole[head] = whole.get(head, 0.0) + seconds
        shown = ", ".join(f"{name} {seconds:.1f}" for name, seconds in whole.items() if seconds >= _SHOWN_S)
        return f"ready in {self.seconds:.1f} s" + (f": {shown}" if shown else "")


class _Recorder:
    """Attributes the time since the last change of phase to the current one."""

    def __init__(self) -> None:
        self.phases: dict[str, float] = {_OTHER: 0.0}
        self.ended = False
        self._open = [_OTHER]
        self._since = time.perf_counter()

    def enter(self, name: str) -> None:
        self._charge()
        self._open.append(name)
        self.phases.setdefault(name, 0.0)

    def leave(self) -> None:
        self._charge()
        self._open.pop()

    def times(self) -> StartupTimes:
        self._charge()
        named = {name: seconds for name, seconds in self.phases.items() if name != _OTHER}
        return StartupTimes({**named, _OTHER: self.phases[_OTHER]})

    def _charge(self) -> None:
        now, name = time.perf_counter(), self._open[-1]
        self.phases[name] += now - self._since
        self._since = now


_RECORDER: ContextVar[_Recorder | None] = ContextVar("vbench_startup", default=None)


@contextmanager
def startup() -> Iterator[None]:
    """Record the startup in this block, unless one is already being recorded; also a decorator."""
    if _recorder() is not None:
        yield
        return
    token = _RECORDER.set(_Recorder())
    try:
        yield
    finally:
        _RECORDER.reset(token)


@contextmanager
def process_startup() -> Iterator[None]:
    """Record the startup in this block, including the time since the process was started, where that is known."""
    with startup():
        recorder = _recorder()
        assert recorder is not None
        recorder.phases["python"] = _process_age_s()
        yield


@contextmanager
def phase(name: str, *, whole: bool = False) -> Iterator[None]:
    """Attribute the time of this block to ``name`` if a startup is being recorded; also a decorator.

    Phases inside the block are recorded as such, unless it is one ``whole``.
    """
    recorder = _recorder()
    if recorder is None:
        yield
        return
    recorder.enter(name)
    token = _RECORDER.set(None if whole else recorder)
    try:
        yield
    finally:
        _RECORDER.reset(token)
        recorder.leave()


def ready() -> StartupTimes | None:
    """End the recording, since the first video comes next, and return the times; None if there is no recording."""
    recorder = _recorder()
    if recorder is None:
        return None
    recorder.ended = True
    return recorder.times()


def _recorder() -> _Recorder | None:
    """Return the recorder of the startup that is being recorded."""
    recorder = _RECORDER.get()
    return None if recorder is None or recorder.ended else recorder


def _process_age_s() -> float:
    try:
        fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)
    except (OSError, AttributeError, ValueError, IndexError):  # not Linux
        return 0.0
