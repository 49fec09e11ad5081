"""Atomic writes, with one-line errors for disk failures.

Every output is written under a temporary name next to its destination and renamed once complete, so a killed process
or a full disk never leaves a partial file under the final name.

Temporary names are random and created exclusively, so that nobody can plant a link there. Each process locks its
temporary file or folder, so the next process that writes the same destination can recognize and remove what a killed
process left behind.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from .errors import MissingError, UsageError, VbenchError

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_BLOCK = 1 << 20
_MAX_STEM_BYTES = 64  # in a temporary name, so that a long name does not exceed the file system's limit
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # from Linux's headers


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def disk_error(path: Path, error: OSError) -> VbenchError:
    """Return the error to show for an ``OSError`` raised while writing ``path``."""
    if error.errno in _DISK_FULL:
        return MissingError(f"cannot write {path}: no space left on the disk", "free some space or write elsewhere")
    return UsageError(
        f"cannot write {path}: {error.strerror or error}", "choose another path, or fix the folder's permissions"
    )


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield an empty temporary file with the same suffix; rename it to ``path`` on success, remove it on failure.

    Raises:
        MissingError: the disk is full.
        UsageError: ``path`` is not writable.
    """
    if not path.name:  # "." and "/"
        raise UsageError(f"{path} is a folder, not a file", "name the file to write")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path.parent, path.stem, path.suffix)
        with _claimed(path.parent, path.stem, path.suffix) as temporary:
            yield temporary
            temporary.replace(path)
    except OSError as error:
        raise disk_error(path, error) from None


@contextmanager
def whole_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder next to ``path``; rename it to ``path`` on success, remove it on failure.

    Raises:
        UsageError: ``path`` exists and ``replace`` is false, or ``path`` is not writable.
        MissingError: the disk is full.
    """
    exists = UsageError(f"{path} already exists", "add --force to replace it, or choose another name with -o")
    if os.path.lexists(path) and not replace:
        raise exists
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path.parent, path.name)
        with _claimed(path.parent, path.name) as temporary:
            yield temporary
            _swap(temporary, path) if replace else temporary.rename(path)
    except OSError as error:
        # Another process may have created it in the meantime.
        raise (exists if error.errno in (errno.ENOTEMPTY, errno.EEXIST) else disk_error(path, error)) from None


@contextmanager
def scratch_folder(parent: Path, name: str) -> Iterator[Path]:
    """Yield a temporary folder in ``parent``, and remove it at the end.

    It is on the file system of ``parent``, so files can be renamed from one to the other. ``name`` is its purpose: a
    folder with the same name that a killed process left behind is removed first.
    """
    _remove_abandoned(parent, name)
    with _claimed(parent, name) as temporary:
        yield temporary


def _swap(new: Path, path: Path) -> None:
    """Rename ``new`` to ``path``; anything already there gets a temporary name and is removed."""
    if not os.path.lexists(path):
        new.rename(path)
    elif not _exchange(new, path):
        old = _temporary(path.parent, path.name)
        path.rename(old)
        new.rename(path)
        _remove(old)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two paths atomically, so that neither is ever missing; return False if the system cannot."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    return bool(rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0)


@contextmanager
def _claimed(parent: Path, stem: str, suffix: str | None = None) -> Iterator[Path]:
    """Yield a new, locked temporary file, or a folder if there is no suffix; remove it afterward if it still exists."""
    while True:
        temporary = _temporary(parent, stem, suffix or "")
        if suffix is None:
            temporary.mkdir()
        else:
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o666))
        try:
            lock = os.open(temporary, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                with suppress(OSError):  # some network file systems have no locks, so leftovers remain there
                    flock(lock, LOCK_EX)
                if os.path.lexists(temporary):  # otherwise, another process took it for a leftover before it was locked
                    yield temporary
                    return
            finally:
                os.close(lock)
        finally:
            _remove(temporary)


def _temporary(parent: Path, stem: str, suffix: str = "") -> Path:
    return parent / f".{_short(stem)}.tmp-{secrets.token_hex(8)}{suffix}"


def _short(stem: str) -> str:
    return os.fsdecode(os.fsencode(stem)[:_MAX_STEM_BYTES])


def _remove_abandoned(parent: Path, stem: str, suffix: str = "") -> None:
    """Remove temporary files or folders for the same destination that were left by processes that have ended."""
    pattern = re.compile(rf"\.{re.escape(_short(stem))}\.tmp-[0-9a-f]{{16}}{re.escape(suffix)}")
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if pattern.fullmatch(entry.name) and entry.stat(follow_symlinks=False).st_uid == os.getuid():
                _remove_if_abandoned(Path(entry.path))


def _remove_if_abandoned(path: Path) -> None:
    with suppress(OSError):
        lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            flock(lock, LOCK_EX | LOCK_NB)
            _remove(path)
        finally:
            os.close(lock)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):  # a second error would hide the first
            path.unlink(missing_ok=True)
