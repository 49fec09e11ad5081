"""Input files named by a user or a data set: open only regular files, and skip hidden ones when listing.

Opening a named pipe blocks until a writer appears, and reading a device may never end, so neither is opened.
"""

from __future__ import annotations

import errno
import os
import stat
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO

# Files that file managers add to a folder; macOS also adds `.DS_Store` and `._NAME` companions (AppleDouble).
_ADDED = ("thumbs.db", "desktop.ini", "__macosx")
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class NotAFileError(OSError):
    """The path names something other than a file or a folder; `strerror` says what."""


def open_file(path: Path) -> BinaryIO:
    """Open a regular file for reading, without ever blocking.

    Raises:
        OSError: the file cannot be opened, or is a folder, a named pipe, a socket or a device.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # opening a folder raises an error of its own
        raise NotAFileError(errno.EINVAL, f"it is {_KINDS.get(stat.S_IFMT(mode), 'special')}, not a file", str(path))
    return open(path, "rb", opener=_open_nonblocking)


def read_file(path: Path) -> bytes:
    """Return the contents of a regular file; raises the same errors as `open_file`."""
    with open_file(path) as file:
        return file.read()


def read_text(path: Path, encoding: str = "utf-8") -> str:
    """Return the text of a regular file; raises the same errors as `open_file`, and UnicodeDecodeError."""
    with TextIOWrapper(open_file(path), encoding) as file:
        return file.read()


def is_hidden(name: str) -> bool:
    """Return whether a file name is hidden or added by a file manager; such a file is never a frame or a video."""
    return name.startswith(".") or name.lower() in _ADDED


def has_extension(name: str, extensions: tuple[str, ...]) -> bool:
    """Return whether a file name ends in one of ``extensions`` (lower case, with a dot), ignoring the name's case."""
    return name.lower().endswith(extensions)


def _open_nonblocking(path: str, flags: int) -> int:
    # a pipe can take the file's place after the check
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
