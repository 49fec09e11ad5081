"""The benchmark behind ``vbench bench``: contenders in separate processes, measured in turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy_exports

if TYPE_CHECKING:
    from .bench_folder import is_bench as is_bench
    from .bench_folder import read_bench as read_bench
    from .clips import ClipSet as ClipSet
    from .options import BenchOptions as BenchOptions
    from .recommend import recommendation as recommendation
    from .results import Bench as Bench
    from .rows import BenchRow as BenchRow
    from .rows import bench_rows as bench_rows
    from .start import BenchConfig as BenchConfig
    from .start import resume_bench as resume_bench
    from .start import start_bench as start_bench

__getattr__ = lazy_exports(
    __name__,
    bench_folder=("is_bench", "read_bench"),
    clips=("ClipSet",),
    options=("BenchOptions",),
    recommend=("recommendation",),
    results=("Bench",),
    rows=("BenchRow", "bench_rows"),
    start=("BenchConfig", "resume_bench", "start_bench"),
)
