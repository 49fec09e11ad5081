"""Traces that record every step of every video, and their replay under any policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy_exports

if TYPE_CHECKING:
    from .replay import exit_steps as exit_steps
    from .trace import Trace as Trace
    from .trace_file import read_trace as read_trace
    from .trace_file import write_trace as write_trace

__getattr__ = lazy_exports(
    __name__,
    replay=("exit_steps",),
    trace=("Trace",),
    trace_file=(
        "read_trace",
        "write_trace",
    ),
)
