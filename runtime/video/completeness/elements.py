"""Helpers for parsing container structures: elements, and bounded access to a file."""

from __future__ import annotations

from typing import BinaryIO, NamedTuple

# An element header can be as short as 2 bytes, so a hostile file could contain hundreds of millions of them.
MAX_ELEMENTS = 1_000_000


class Element(NamedTuple):
    """A box, chunk or element of a container.

    Attributes:
        name: the element's type, as stored.
        start: position of the content in bytes.
        end: declared end of the content, which may be past the end of the file; None if not declared.
    """

    name: bytes
    start: int
    end: int | None


def read_at(file: BinaryIO, position: int, count: int) -> bytes:
    """Return up to ``count`` bytes: fewer at the end of the file, and none past it."""
    try:
        file.seek(position)
    except (OSError, OverflowError):  # files cannot be this long
        return b""
    return file.read(count)


def of_bytes(size: int, declared: int) -> str:
    """Return the clause for a file of ``size`` bytes whose content should end at byte ``declared``."""
    return f"it contains {size} of {declared} bytes"
