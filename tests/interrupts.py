"""Child processes that Ctrl-C interrupts."""

from __future__ import annotations

import signal


def heed_interrupts() -> None:
    """Restore the default of SIGINT, which a background process may ignore and pass on; a ``preexec_fn``."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
