"""The record of a run on disk: configuration, rows, metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy_exports

if TYPE_CHECKING:
    from .run_file import read_run as read_run
    from .run_folder import RunConfig as RunConfig
    from .run_folder import RunFolder as RunFolder
    from .video_row import VideoRow as VideoRow

__getattr__ = lazy_exports(
    __name__,
    run_file=("read_run",),
    run_folder=(
        "RunConfig",
        "RunFolder",
    ),
    video_row=("VideoRow",),
)
