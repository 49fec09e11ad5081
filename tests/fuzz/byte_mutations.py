"""Mutations of binary files: cut off, changed, removed and repeated bytes, and changed sizes of boxes."""

from __future__ import annotations

from random import Random
from typing import NamedTuple


class Damage(NamedTuple):
    """The damaged bytes, and the damage in words."""

    data: bytes
    what: str


def truncate(rng: Random, data: bytes, least: float = 0.0, most: float = 0.999) -> Damage:
    """Return a part of the file from its beginning."""
    cut = int(len(data) * rng.uniform(least, most))
    return Damage(data[:cut], f"cut off at byte {cut} of {len(data)}")


def damage(rng: Random, data: bytes) -> Damage:
    """Return the file with one to four kinds of damage."""
    said = []
    for _ in range(rng.choice((1, 1, 2, 4))):
        data, what = rng.choice(_OPERATIONS)(rng, data or b"\x00")
        said.append(what)
    return Damage(data, ", ".join(said))


def _flip(rng: Random, data: bytes) -> Damage:
    changed = bytearray(data)
    count = rng.choice((1, 1, 2, 8, 64))
    # Headers are at the beginning or the end.
    end = rng.choice((min(200, len(data)), len(data)))
    places = [rng.randrange(end) for _ in range(count)]
    if rng.random() < 0.3:
        places = [len(data) - 1 - place for place in places]
    for place in places:
        changed[place] = rng.choice((0, 255, changed[place] ^ (1 << rng.randrange(8)), rng.randrange(256)))
    return Damage(bytes(changed), f"{count} bytes changed")


def _remove(rng: Random, data: bytes) -> Damage:
    place, count = rng.randrange(len(data)), rng.choice((1, 2, 10, 100, 1000))
    return Damage(data[:place] + data[place + count :], f"{count} bytes removed at {place}")


def _repeat(rng: Random, data: bytes) -> Damage:
    place, count = rng.randrange(len(data)), rng.choice((1, 8, 100, 2000))
    return Damage(data[:place] + data[place : place + count] + data[place:], f"{count} bytes repeated at {place}")


def _zero(rng: Random, data: bytes) -> Damage:
    place, count = rng.randrange(len(data)), rng.choice((4, 32, 512))
    return Damage(data[:place] + bytes(count) + data[place + count :], f"{count} zeros at {place}")


def _number(rng: Random, data: bytes) -> Damage:
    """Write a 32-bit number, such as the size of a box or a dimension."""
    size = rng.choice((0, 1, 7, 8, 16, 0x7FFFFFFF, 0xFFFFFFFF, len(data) * 2, rng.randrange(1 << 16)))
    place = rng.randrange(max(len(data) - 4, 1))
    order = rng.choice(("big", "little"))
    return Damage(data[:place] + size.to_bytes(4, order) + data[place + 4 :], f"the number {size} at byte {place}")


def _cut(rng: Random, data: bytes) -> Damage:
    return truncate(rng, data)


def _append(rng: Random, data: bytes) -> Damage:
    junk = rng.choice((rng.randbytes(100), data[:500], b"\n" * 10))
    return Damage(data + junk, f"{len(junk)} bytes appended")


_OPERATIONS = (_flip, _flip, _flip, _remove, _repeat, _zero, _number, _number, _cut, _append)
