"""Write whole or not at all, and say in one line when the disk does not let us.

Everything vbench writes is prepared under another name beside its destination and renamed once it is complete, so
that a killed process or a full disk never leaves half a file where a whole one is expected.
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

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_BLOCK = 1 << 20


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def disk_error(path: Path, error: OSError) -> VbenchError:
    """Return the error to show for an ``OSError`` met while writing ``path``."""
    if error.errno in _NO_ROOM:
        return MissingError(f"{path}: no room left on the disk", "free some space or write elsewhere")
    return UsageError(f"{path}: cannot write, {error.strerror or error}", "choose another place, or mend its mode")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path with the same suffix; on success it becomes ``path``, on any failure it is removed.

    Raises:
        MissingError: the disk is full.
        UsageError: the place cannot be written.
    """
    if not path.name:  # "." and "/"
        raise UsageError(f"{path}: a folder, not a file", "name the file to write")
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise disk_error(path, error) from None
    finally:
        with suppress(OSError):  # the cause has been told; a second trouble would hide it
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Give a temporary folder beside ``path``; on success it becomes ``path``, on any failure it is removed.

    Raises:
        UsageError: ``path`` exists and is not to be replaced, or the place cannot be written.
        MissingError: the disk is full.
    """
    if path.exists() and not replace:
        raise UsageError(f"{path}: already there", "add --force to replace it, or choose another name with -o")
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
