"""The standard streams of the command, which may be full, closed, or unable to encode a character.

What a command prints to stdout is its result, so losing it is an error. What it prints to stderr is not, so a note that
cannot be written must not end a run. This module is imported before anything else, and imports no other package.
"""

from __future__ import annotations

import codecs
import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import NoReturn, TextIO

from ...files import disk_error
from ...text import printable

_REPLACED = "vbench.replaced"
_ASCII = {"≤": "<=", "≥": ">=", "…": "...", "✓": "*"}


class _Stdout(TextIOWrapper):
    """Stdout that records the error of a failed write, which may surface elsewhere and without a file name."""

    lost: OSError | None = None

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self.lost = error
            raise

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self.lost = error
            raise


class Stderr:
    """The current ``sys.stderr`` with its errors suppressed, for rich."""

    @property
    def encoding(self) -> str:
        """Encoding of the stream."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def _stream(self) -> TextIO | None:
        # rich's progress display replaces sys.stderr with a stream that prints through the display.
        stream: TextIO | None = getattr(sys.stderr, "rich_proxied_file", sys.stderr)
        return stream

    def write(self, text: str) -> int:
        """Write ``text`` if possible."""
        if self._stream is not None:
            with suppress(OSError, ValueError):  # ValueError: closed by the program
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream if possible."""
        if self._stream is not None:
            with suppress(OSError, ValueError):
                self._stream.flush()

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self._stream is not None and not self._stream.closed and self._stream.isatty()

    def fileno(self) -> int:
        """Return the file descriptor of the stream."""
        if self._stream is None:
            raise OSError("stderr is closed")
        return self._stream.fileno()


def prepare_streams() -> None:
    """Open closed standard streams on the null device, and replace characters that the encoding lacks."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:  # otherwise, the next file to be opened would get its descriptor
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - lives as long as the process
    codecs.register_error(_REPLACED, _replace)
    if isinstance(sys.stderr, TextIOWrapper):
        sys.stderr.reconfigure(errors=_REPLACED)
    if type(sys.stdout) is TextIOWrapper:  # not a stream that captures the output
        sys.stdout = _same_stream(sys.stdout)
        setattr(sys, "__stdout__", sys.stdout)  # noqa: B010 - typeshed declares it final; the old one is detached


def report_error(message: str, code: int) -> int:
    """Print an error on one line of stderr and return ``code``."""
    stream = Stderr()
    stream.write(f"vbench: {printable(' '.join(message.split()))}\n")
    stream.flush()
    return code


def end_streams(code: int) -> int:
    """Flush the streams and return the exit code: ``code``, or that of the error if the output cannot be written."""
    lost = lost_output()
    _flush_or_drop(sys.stderr)
    return lost or code


def lost_output() -> int | None:
    """Flush stdout; if output was lost, report the reason and return the exit code, which is 0 for a closed pipe."""
    error = _flush_or_drop(sys.stdout)
    if isinstance(sys.__stdout__, _Stdout):  # sys.stdout may be wrapped: typer does so after a closed pipe
        error, sys.__stdout__.lost = error or sys.__stdout__.lost, None
    if error is None:
        return None
    if isinstance(error, BrokenPipeError):  # the reader has closed the pipe
        return 0
    lost = disk_error(Path("the output"), error)
    return report_error(str(lost), lost.exit_code)


def _same_stream(stream: TextIOWrapper) -> _Stdout:
    encoding, line_buffering, write_through = stream.encoding, stream.line_buffering, stream.write_through
    return _Stdout(stream.detach(), encoding, _REPLACED, line_buffering=line_buffering, write_through=write_through)


def _flush_or_drop(stream: TextIO) -> OSError | None:
    """Flush a stream; if that fails, return the error and drop the buffer, or Python would exit with code 120."""
    try:
        stream.flush()
    except OSError as error:
        with suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
        return error
    return None


def exit_now(code: int) -> NoReturn:
    """Exit immediately: an orderly exit would wait for threads that are still reading videos."""
    end_streams(code)
    os._exit(code)


def _replace(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    return _ASCII.get(character) or character.encode("ascii", "backslashreplace").decode(), error.start + 1
