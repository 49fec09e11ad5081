"""The lock of a run folder, which lets only one process at a time write to it.

The system releases the lock when its owner ends, even if it is killed by SIGKILL. Readers do not take the lock.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from ...errors import RunError, UsageError
from ...files import disk_error

_LOCK = ".lock"
_MAX_OWNER_BYTES = 300  # process id and host name


class RunLock:
    """The lock of the folder ``run``, held from its creation until `release` or the end of the process."""

    def __init__(self, run: Path) -> None:
        """Take the lock.

        Raises:
            RunError: another process is writing to the folder.
            UsageError: the folder is not writable, or its file system does not support locking.
            MissingError: the disk is full.
        """
        self._file: int | None = None
        while self._file is None:
            self._file = _locked_file(run)
        # This text appears only in other processes' messages, so a full disk is no reason to stop.
        with suppress(OSError):
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)

    def release(self, run: Path) -> None:
        """Remove the lock from the folder, which may have been renamed since the lock was taken."""
        if self._file is None:
            return
        with suppress(OSError):
            (run / _LOCK).unlink()
        os.close(self._file)
        self._file = None

    def __del__(self) -> None:
        if self._file is not None:
            os.close(self._file)


def _locked_file(run: Path) -> int | None:
    """Return the locked file; None if its last owner has just removed it, since a lock on it would exclude nobody."""
    path = run / _LOCK
    try:
        file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        raise disk_error(path, error) from None
    try:
        flock(file, LOCK_EX | LOCK_NB)
        if _same_file(file, path):
            return file
    except BlockingIOError:
        owner = _owner(file)
        os.close(file)
        raise RunError(f"{run} is being written to by {owner}", "wait for that process to finish, or stop it") from None
    except OSError as error:
        os.close(file)
        hint = "write to a folder on a local disk"
        raise UsageError(f"cannot lock {run}: {error.strerror or error}", hint) from None
    os.close(file)
    return None


def _owner(file: int) -> str:
    with suppress(OSError):
        return os.pread(file, _MAX_OWNER_BYTES, 0).decode(errors="replace") or "another process"
    return "another process"


def _same_file(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.lstat())
    except FileNotFoundError:
        return False
