"""Entry point of the ``vbench`` command.

It imports nothing but the standard streams' helpers until it can report an interruption: the other imports take most of
a second, in which Ctrl-C must end the command with one line, too.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

INTERRUPTED = 130
_interrupts: list[int] = []


def main() -> None:
    """Run the command line and exit with its code."""
    _watch_interrupts()
    try:
        from .common.streams import prepare_streams

        prepare_streams()
        from .app import run_app

        code = run_app()
    except BaseException as error:
        # A library that is interrupted while it is imported may raise an error of its own instead.
        if not _interrupts and not isinstance(error, KeyboardInterrupt):
            raise
        code = INTERRUPTED
    from .common.streams import end_streams, exit_now, report_error

    if code == INTERRUPTED:
        exit_now(report_error("interrupted", INTERRUPTED))
    sys.exit(end_streams(code))


def _watch_interrupts() -> None:
    """Note each Ctrl-C; where it is ignored, as in a background job, it stays so."""
    _interrupts.clear()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _note_interrupt)


def _note_interrupt(number: int, frame: FrameType | None) -> None:
    _interrupts.append(number)
    signal.default_int_handler(number, frame)
