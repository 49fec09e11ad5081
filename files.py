"""Atomic writes, with one-line errors for disk failures.

Every output is written under a temporary name next to its destination and renamed once complete, so a killed process
or a full disk never leaves a partial file under the final name.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import MissingError, UsageError, VbenchError

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_BLOCK = 1 << 20


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
    """Yield a temporary path with the same suffix; rename it to ``path`` on success, remove it on failure.

    Raises:
        MissingError: the disk is full.
        UsageError: ``path`` is not writable.
    """
    if not path.name:  # "." and "/"
        raise UsageError(f"{path} is a folder, not a file", "name the file to write")
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise disk_error(path, error) from None
    finally:
        with suppress(OSError):  # a second error would hide the first
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder next to ``path``; rename it to ``path`` on success, remove it on failure.

    Raises:
        UsageError: ``path`` exists and ``replace`` is false, or ``path`` is not writable.
        MissingError: the disk is full.
    """
    if path.exists() and not replace:
        raise UsageError(f"{path} already exists", "add --force to replace it, or choose another name with -o")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        _swap(temporary, path)
    except OSError as error:
        raise disk_error(path, error) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _swap(new: Path, path: Path) -> None:
    if not path.exists():
        new.rename(path)
        return
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    path.rename(old)
    new.rename(path)
    shutil.rmtree(old, ignore_errors=True)
