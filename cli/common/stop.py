"""End a command on SIGTERM and SIGHUP as on Ctrl-C, removing temporary files and keeping a run's finished videos."""

from __future__ import annotations

import signal
import threading
from types import FrameType

_ENDS = (signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """Handlers for the signals that end a process.

    Attributes:
        received: the first signal that arrived, if any. A library that is interrupted may raise an error of its own
            instead of passing on the interruption.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def install(self) -> None:
        """Raise KeyboardInterrupt in the main thread on these signals, unless they are ignored, as under nohup."""
        if threading.current_thread() is not threading.main_thread():
            return  # Python permits handlers only there
        for number in (signal.SIGINT, *_ENDS):
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, self._stop)

    def ignore(self) -> None:
        """Ignore further signals, which would interrupt printing the last line and the imports it needs."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, *_ENDS):
                signal.signal(number, signal.SIG_IGN)

    @property
    def exit_code(self) -> int:
        """Exit code following the shell's convention: 128 plus the number of the signal."""
        return 128 + (self.received or signal.SIGINT)

    @property
    def message(self) -> str:
        """Text of the command's last line, which says what ended it."""
        return f"ended by {self.received.name}" if self.received in _ENDS else "interrupted"

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self.received = self.received or signal.Signals(number)
        if number in _ENDS:
            for each in _ENDS:
                signal.signal(each, signal.SIG_IGN)  # a second one would interrupt the removal of temporary files
        raise KeyboardInterrupt
