"""Let Ctrl-C and termination signals cancel a build.

A signal's handler runs in whatever Python code comes next. During a build that is a callback from C++, such as the
logger's, where TensorRT's bindings print the handler's exception and discard it. Handlers are therefore postponed
until the build has ended, and a progress monitor makes it end soon.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ReceivedSignals = list[tuple[int, FrameType | None]]


@contextmanager
def postponed_signals() -> Iterator[ReceivedSignals]:
    """Postpone the handlers of signals to the end of this context; yield the signals received so far.

    Only the main thread handles signals; in other threads, this context does nothing.
    """
    received: ReceivedSignals = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    handlers = {int(number): handler for number in _SIGNALS if callable(handler := signal.getsignal(number))}
    for number in handlers:
        signal.signal(number, lambda signal_number, frame: received.append((signal_number, frame)))
    try:
        yield received
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number, frame in received:
            handlers[number](number, frame)


def canceling_monitor(trt: Any, received: ReceivedSignals) -> Any:
    """Return a progress monitor that cancels its build once a signal has been received."""
    return _monitor_class(trt)(received)


@cache
def _monitor_class(trt: Any) -> type[Any]:
    """Return the class of a monitor that cancels a build once a signal has been received."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # only typed if tensorrt is installed
        """Monitor that shows no progress."""

        def __init__(self, received: ReceivedSignals) -> None:
            trt.IProgressMonitor.__init__(self)
            self._received = received

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            """Ignore the start of a phase."""

        def step_complete(self, phase_name: str, step: int) -> bool:  # noqa: ARG002 - TensorRT's signature
            """Return whether to continue."""
            return not self._received

        def phase_finish(self, phase_name: str) -> None:
            """Ignore the end of a phase."""

    return Monitor
