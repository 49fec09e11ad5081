"""What can go wrong for a user, one exception per cause.

Every error says what is wrong, where, and what to do about it, on one line; the command line prints that line and ends
with ``exit_code``. Anything that is not a ``VbenchError`` is a fault of ours.
"""

from __future__ import annotations


class VbenchError(Exception):
    """Base of all expected errors. ``hint`` says what to do; ``exit_code`` is what the process ends with."""

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class UsageError(VbenchError):
    """An option or argument that does not fit the others or the files at hand."""


class CheckpointError(VbenchError):
    """A checkpoint that cannot be read, or holds something else than the network that was expected."""


class BundleError(VbenchError):
    """A bundle that is missing, incomplete, altered, or of a schema this version does not know."""


class DatasetError(VbenchError):
    """Annotation files or folders of a data set that are missing or do not fit together."""


class FrameError(VbenchError):
    """A video, picture or array that gives no frames the network could take."""


class RunError(VbenchError):
    """A run folder that is missing, incomplete, or does not fit what was asked of it."""


class MissingError(VbenchError):
    """Something this machine lacks: a package, a device, space on the disk."""

    exit_code = 3


class CheckError(VbenchError):
    """A numerical check or a comparison that did not hold."""

    exit_code = 4
