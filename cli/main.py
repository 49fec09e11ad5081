"""Entry point of the ``vbench`` command.

It imports only the helpers for the standard streams until it can report an interruption: the other imports take most of
a second, during which Ctrl-C must also end the command with a single line.
"""

from __future__ import annotations

import sys

from .common.stop import StopSignals

INTERRUPTED = 130


def main() -> None:
    """Run the command line and exit with its code."""
    stop = StopSignals()
    stop.install()
    interrupted, code = False, 0
    try:
        from ..startup import phase, process_startup
        from .common.streams import prepare_streams

        prepare_streams()
        with process_startup():
            with phase("imports"):
                from .app import run_app

            code = run_app()
    except BaseException as error:
        # A library that is interrupted while it is imported may raise an error of its own instead.
        if stop.received is None and not isinstance(error, KeyboardInterrupt):
            raise
        stop.ignore()
        interrupted = True
    from .common.streams import end_streams, exit_now, report_error

    if interrupted:
        exit_now(report_error(stop.message, stop.exit_code))
    sys.exit(end_streams(code))
