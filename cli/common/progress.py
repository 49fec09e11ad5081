"""Progress of a run on stderr: videos/s, running accuracy and mean frames."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ...text import printable
from .output import note, stderr

if TYPE_CHECKING:
    from rich.progress import TextColumn

    from ...bench.run.run import Listener, Progress


@contextmanager
def run_progress(
    name: str = "", resumed: Path | None = None, resumable: bool = True, several: bool = False
) -> Iterator[Listener]:
    """Yield a progress listener for a run; on Ctrl-C, report the number of videos kept and the command to resume.

    A run that is one of ``several`` in a folder is resumed together with the others.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), MofNCompleteColumn(), _description(), TimeRemainingColumn())
    counts = _Counts(resumed)
    with Bar(*columns, console=stderr(), transient=True, disable=not stderr().is_terminal) as bar:
        task = bar.add_task(f"{name} loading".strip(), total=None)

        def listener(progress: Progress) -> None:
            counts.add(progress)
            bar.update(task, total=progress.total, completed=progress.done, description=f"{name} {counts}".strip())

        try:
            yield listener
        except KeyboardInterrupt:
            bar.stop()
            if counts.seen and resumable:
                assert counts.folder is not None
                run = shlex.quote(str(counts.folder.parent if several else counts.folder))
                note(f"{counts.done} videos are kept; resume with: vbench run --resume {run}")
            raise


@contextmanager
def counting(name: str) -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function that shows the current item, the number done and the total."""
    from rich.progress import Progress as Bar

    columns = (_description(), *Bar.get_default_columns()[1:])
    with Bar(*columns, console=stderr(), transient=True, disable=not stderr().is_terminal) as bar:
        task = bar.add_task(name, total=None)

        def show(item: str, done: int, total: int) -> None:
            bar.update(task, total=total, completed=done, description=printable(f"{name} {item}"))

        yield show


def _description() -> TextColumn:
    """Return the description column, which has no markup because it contains file names."""
    from rich.progress import TextColumn

    return TextColumn("{task.description}", markup=False)


class _Counts:
    """Running counts for the progress line."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.done = self.seen = self._right = self._labeled = self._frames = self._answered = 0
        self._start_s = time.monotonic()

    def add(self, progress: Progress) -> None:
        row = progress.row
        self.folder, self.done, self.seen = progress.folder, progress.done, self.seen + 1
        if row.error is None and row.frames_used is not None:
            self._answered += 1
            self._frames += row.frames_used
            self._labeled += bool(row.label)
            self._right += row.prediction in (row.label or ())

    def __str__(self) -> str:
        rate = self.seen / max(time.monotonic() - self._start_s, 1e-9)
        top1 = f"{100 * self._right / self._labeled:.1f} % top-1" if self._labeled else "no label yet"
        frames = f"{self._frames / self._answered:.2f} frames" if self._answered else "no answer yet"
        return f"{rate:.1f} videos/s  {top1}  {frames}"
