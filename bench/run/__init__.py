"""Run a network over a data set, and resume an interrupted run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy_exports

if TYPE_CHECKING:
    from .run import resume_run as resume_run
    from .run import start_run as start_run

__getattr__ = lazy_exports(
    __name__,
    run=(
        "resume_run",
        "start_run",
    ),
)
