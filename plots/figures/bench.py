"""The three figures of a benchmark: speed, efficiency, and time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ...bench.benchmark import Bench
from ...errors import RunError
from .bench_contenders import ShownBench, shown_bench
from .bench_efficiency import bench_efficiency_figure
from .bench_speed import bench_speed_figure
from .bench_time import bench_time_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BENCH_FIGURES: dict[str, Callable[[ShownBench], Figure]] = {
    "speed": bench_speed_figure,
    "efficiency": bench_efficiency_figure,
    "time": bench_time_figure,
}


class WrittenFigures(NamedTuple):
    """The files written and, for each figure that cannot be drawn, its name and the reason."""

    paths: list[Path]
    left_out: list[str]


def plot_bench(bench: Bench, out: Path) -> WrittenFigures:
    """Draw the figures of a benchmark and write each as PNG, SVG and PDF.

    Args:
        bench: complete or interrupted.
        out: ``bench.png`` gives ``bench-speed.png``, ``bench-efficiency.png`` and ``bench-time.png``.

    Raises:
        RunError: all contenders are INVALID.
        UsageError: ``out`` is not writable.
    """
    from .style import figure_stem, save

    stem, shown = figure_stem(out), shown_bench(bench)
    written = WrittenFigures([], [])
    for name, build in BENCH_FIGURES.items():
        try:
            figure = build(shown)
        except RunError as error:
            written.left_out.append(f"{name}: {error.message}")
            continue
        written.paths.extend(save(figure, stem.with_name(f"{stem.name}-{name}")))
    return written
