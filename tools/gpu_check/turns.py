"""The contenders of a section, each in its own process; a failed contender is dropped, the rest continue."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from time import monotonic
from types import TracebackType
from typing import Any, NamedTuple

from .answers import WorkerRequest
from .contenders import Contender
from .process import Worker, WorkerError
from .settings import Limits, WorkerConfig


class Failure(NamedTuple):
    """A failure in a section: section, contender and first line of the error."""

    section: str
    contender: str
    error: str


class Turns:
    """Context manager that starts the contenders; `alive` lists those that have not failed."""

    def __init__(self, section: str, contenders: Sequence[Contender], config: WorkerConfig, limits: Limits) -> None:
        self.failures: list[Failure] = []
        self.descriptions: dict[str, dict[str, str]] = {}
        self._section, self._contenders, self._config, self._limits = section, contenders, config, limits
        self._workers: dict[str, Worker] = {}
        self._ends = ExitStack()
        self._until = 0.0

    def __enter__(self) -> Turns:
        with ExitStack() as started:  # an interrupt stops the contenders started so far
            started.callback(self._ends.close)
            for contender in self._contenders:
                self._start(contender)
            started.pop_all()
        self._until = monotonic() + self._limits.section_s
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.close()

    @property
    def alive(self) -> list[Contender]:
        """Contenders that have not failed."""
        return [one for one in self._contenders if one.name in self._workers]

    @property
    def out_of_time(self) -> bool:
        """Whether the section has exceeded its time limit."""
        return monotonic() >= self._until

    def ask(self, contender: Contender, request: WorkerRequest, about: str) -> Any:
        """Return the reply; None if there is none, in which case the contender is dropped."""
        worker = self._workers.get(contender.name)
        if worker is None or self.out_of_time:
            return None
        _progress(f"{self._section}: {contender.name}, {about}")
        try:
            return worker.ask(request, min(self._limits.question_s, self._until - monotonic()))
        except WorkerError as error:
            self.drop(contender, f"{about}: {error}")
            return None

    def drop(self, contender: Contender, error: str) -> None:
        """Record a failure and stop the contender's process."""
        self.failures.append(Failure(self._section, contender.name, error))
        print(f"{self._section}: {contender.name}: {error}", file=sys.stderr, flush=True)
        self._workers.pop(contender.name).close()

    def end(self) -> tuple[Failure, ...]:
        """Return the failures, including a timeout of the section."""
        over = f"the section exceeded its {self._limits.section_s:.0f} s; the remaining measurements are missing"
        return (*self.failures, *([Failure(self._section, "all", over)] if self.out_of_time else []))

    def _start(self, contender: Contender) -> None:
        _progress(f"{self._section}: starting {contender.name}")
        worker = Worker(contender, self._config)
        self._ends.callback(worker.close)
        self._workers[contender.name] = worker
        try:
            self.descriptions[contender.name] = worker.start(self._limits.start_s)
        except WorkerError as error:
            self.drop(contender, str(error))


def _progress(text: str) -> None:
    """Show the progress if stderr is a terminal."""
    if sys.stderr.isatty():
        print(f"{text}\x1b[K", end="\r", file=sys.stderr, flush=True)
