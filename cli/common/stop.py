"""End a command on SIGTERM and SIGHUP as on Ctrl-C: temporary files are removed, and the videos of a run are kept."""

from __future__ import annotations

import signal
import threading
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """A signal that asks the process to end; everything that handles Ctrl-C handles it too."""


class StopSignals:
    """Handlers of the signals that end a process.

    Attributes:
        received: the first signal that arrived; SIGINT if there was none, since Python handles that one itself.
    """

    def __init__(self) -> None:
        self.received: int = signal.SIGINT

    def install(self) -> None:
        """Raise `Stopped` in the main thread on these signals, unless they are ignored, as under nohup."""
        if threading.current_thread() is not threading.main_thread():
            return  # Python permits handlers only there
        for number in _SIGNALS:
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, self._stop)

    @property
    def exit_code(self) -> int:
        """Exit code by the shell's convention: 128 and the number of the signal."""
        return 128 + self.received

    @property
    def message(self) -> str:
        """What happened, as the last line of the command."""
        return "interrupted" if self.received == signal.SIGINT else f"ended by {signal.Signals(self.received).name}"

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self.received = number
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)  # a second one would interrupt the removal of temporary files
        raise Stopped
