"""What TensorRT says: it returns None or False where others raise, and its messages are the only reasons it gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

from ....errors import MissingError
from ..install_hint import missing_package, reinstall

_LINES_SHOWN = 3


def import_tensorrt() -> Any:
    """Return the module tensorrt.

    Raises:
        MissingError: it is not installed, or its libraries do not load.
    """
    try:
        import tensorrt
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and str(error.name).partition(".")[0] == "tensorrt":
            raise missing_package("tensorrt", "trt") from None
        raise _broken(error) from None
    except OSError as error:  # a library that it loads by itself
        raise _broken(error) from None
    return tensorrt


def _broken(error: Exception) -> MissingError:
    reason = " ".join(str(error).split())
    return MissingError(f"tensorrt is installed but does not load ({reason})", reinstall("tensorrt"))


class LogMessage(NamedTuple):
    """A message, and whether it is an error and no mere warning."""

    error: bool
    text: str


class LogCollector:
    """Messages for whoever waits for them; TensorRT also speaks from threads of its own."""

    def __init__(self) -> None:
        self._listeners: list[list[LogMessage]] = []

    @contextmanager
    def collect(self) -> Iterator[list[LogMessage]]:
        """Give a list that what is said from now on is added to."""
        messages: list[LogMessage] = []
        self._listeners.append(messages)
        try:
            yield messages
        finally:
            self._listeners = [listener for listener in self._listeners if listener is not messages]

    def add(self, messages: LogMessage) -> None:
        """Tell all who wait."""
        for listener in self._listeners:
            listener.append(messages)


@cache
def logger_of(trt: Any) -> Any:
    """Return the one logger of this process, whose ``reasons`` are of the class above: TensorRT keeps the first."""
    severity = trt.ILogger.Severity

    class Logger(trt.ILogger):  # type: ignore[misc]  # known when tensorrt is there
        """Collects errors and warnings and prints nothing."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.collector = LogCollector()
            self._error, self._warning = (int(level) for level in (severity.ERROR, severity.WARNING))

        def log(self, severity: Any, msg: str) -> None:
            """Keep what is a warning or worse."""
            if int(severity) <= self._warning:
                self.collector.add(LogMessage(int(severity) <= self._error, " ".join(msg.split())))

    return Logger()


def reason(messages: list[LogMessage]) -> str:
    """Return the last few different errors, or warnings if there are none, as one line; the last ones stopped it."""
    texts = [each.text for each in messages if each.error] or [each.text for each in messages]
    return " | ".join(list(dict.fromkeys(texts))[-_LINES_SHOWN:]) or "TensorRT gave no reason"
