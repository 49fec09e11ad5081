"""Paths that name no regular file: opening some of them blocks."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path


def _pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def _socket(path: Path) -> Path:
    folder = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{folder}/{path.name}")  # the address of a socket is limited to 108 bytes
    os.close(folder)
    return path


def _device(path: Path) -> Path:
    path.symlink_to("/dev/zero")
    return path


SPECIAL_FILES: dict[str, Callable[[Path], Path]] = {"a named pipe": _pipe, "a socket": _socket, "a device": _device}
