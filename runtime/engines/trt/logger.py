"""Capture TensorRT's log: TensorRT signals failure by returning None or False, and only the log gives the reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

_LINES_SHOWN = 3


class LogMessage(NamedTuple):
    """A log message; ``error`` distinguishes errors from warnings."""

    error: bool
    text: str


class LogCollector:
    """Collects log messages for its listeners; TensorRT also logs from its own threads."""

    def __init__(self) -> None:
        self._listeners: list[list[LogMessage]] = []

    @contextmanager
    def collect(self) -> Iterator[list[LogMessage]]:
        """Yield a list to which messages are appended while the context is open."""
        messages: list[LogMessage] = []
        self._listeners.append(messages)
        try:
            yield messages
        finally:
            self._listeners = [listener for listener in self._listeners if listener is not messages]

    def add(self, message: LogMessage) -> None:
        """Append a message to the lists of all listeners."""
        for listener in self._listeners:
            listener.append(message)


@cache
def logger_of(trt: Any) -> Any:
    """Return the process's only logger, since TensorRT keeps the first one; its ``collector`` is a `LogCollector`."""
    severity = trt.ILogger.Severity

    class Logger(trt.ILogger):  # type: ignore[misc]  # only typed if tensorrt is installed
        """Logger that collects errors and warnings and prints nothing."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.collector = LogCollector()
            self._error, self._warning = (int(level) for level in (severity.ERROR, severity.WARNING))

        def log(self, severity: Any, msg: str) -> None:
            """Collect warnings and errors."""
            if int(severity) <= self._warning:
                self.collector.add(LogMessage(int(severity) <= self._error, " ".join(msg.split())))

    return Logger()


def reason(messages: list[LogMessage]) -> str:
    """Return the last few distinct errors (or else warnings) on one line, because the last ones name the cause."""
    texts = [each.text for each in messages if each.error] or [each.text for each in messages]
    return " | ".join(list(dict.fromkeys(texts))[-_LINES_SHOWN:]) or "TensorRT gave no reason"
