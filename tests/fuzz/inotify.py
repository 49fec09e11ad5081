"""Files that any library opened in a folder, also those whose code has no audit hooks (FFmpeg, ONNX Runtime)."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

_OPEN, _NONBLOCK = 0x20, 0o4000
_HEADER = struct.Struct("iIII")


class OpenedFiles:
    """Names of the files of one folder that have been opened since the last call of `take`; Linux only."""

    def __init__(self, folder: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(_NONBLOCK)
        if self._fd < 0 or libc.inotify_add_watch(self._fd, os.fsencode(folder), _OPEN) < 0:
            raise OSError(ctypes.get_errno(), "inotify")

    def take(self) -> list[str]:
        """Return the names of the files, "" for the folder itself."""
        try:
            data = os.read(self._fd, 1 << 16)
        except BlockingIOError:
            return []
        names, place = [], 0
        while place < len(data):
            *_, length = _HEADER.unpack_from(data, place)
            place += _HEADER.size
            names.append(os.fsdecode(data[place : place + length].rstrip(b"\0")))
            place += length
        return names
