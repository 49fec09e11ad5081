"""Errors shown to users, one exception class per cause.

Every error states the problem, its location and the remedy on one line; the command line prints that line and exits
with ``exit_code``. Any other exception is a bug in vbench.
"""

from __future__ import annotations

from .text import printable


class VbenchError(Exception):
    """Base class of all expected errors, with a ``message``, a remedy (``hint``) and the process's ``exit_code``.

    ``message`` and ``hint`` keep names verbatim; ``str`` escapes them because its result is shown as one line.
    """

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return printable(f"{self.message}; {self.hint}" if self.hint else self.message)


class UsageError(VbenchError):
    """An option or argument that conflicts with another one or with the files it applies to."""


class CheckpointError(VbenchError):
    """A checkpoint that is unreadable, or contains a network other than the expected one."""


class BundleError(VbenchError):
    """A bundle that is missing, incomplete or altered, or has an unknown schema version."""


class EngineError(VbenchError):
    """A bundle part that an engine has loaded but cannot run, or an out-of-memory failure while it runs."""


class DatasetError(VbenchError):
    """Annotation files or folders of a data set that are missing or inconsistent."""


class FrameError(VbenchError):
    """A video, image or array that yields no usable frames."""


class OverloadError(VbenchError):
    """A clip that was rejected because it had waited for a slot longer than the stream permits."""


class RunError(VbenchError):
    """A run folder that is missing, incomplete, or unsuitable for the request."""


class MissingError(VbenchError):
    """A resource that this machine lacks: a package, a device, or disk space."""

    exit_code = 3


class CheckError(VbenchError):
    """A numerical check or a comparison that failed."""

    exit_code = 4
