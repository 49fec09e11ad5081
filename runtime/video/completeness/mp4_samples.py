"""Positions of the samples in an MP4 file, from the tables of each track in its `moov` box."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .boxes import children, contents

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Track:
    """Positions of a track's samples, chunk by chunk; the samples in a chunk are adjacent.

    Attributes:
        is_video: whether the track is a video track.
        offsets: position of each chunk, int64 ``[chunks]``.
        firsts: index of the first sample of each chunk, followed by the number of samples, int64 ``[chunks + 1]``.
        sizes: size of each sample in bytes, int64 ``[samples]``, or ``[1]`` if all samples have the same size.
    """

    is_video: bool
    offsets: Integers
    firsts: Integers
    sizes: Integers

    @property
    def samples(self) -> int:
        """Number of samples."""
        return int(self.firsts[-1])

    @property
    def end(self) -> int:
        """Position after the last byte of any sample; 0 if there are no samples."""
        filled = self.firsts[1:] > self.firsts[:-1]
        return int((self.offsets + np.diff(self._bytes_before(self.firsts)))[filled].max(initial=0))

    def samples_before(self, limit: int) -> int:
        """Return how many samples lie entirely before this position."""
        if len(self.sizes) == 1:  # without a table, the number of samples is not bounded by the size of the file
            fit = np.clip((limit - self.offsets) // max(self.sizes[0], 1), 0, np.diff(self.firsts))
            return int(fit.sum())
        chunks = np.repeat(np.arange(len(self.offsets)), np.diff(self.firsts))
        before = self._bytes_before(np.arange(self.samples + 1))
        ends = self.offsets[chunks] + before[1:] - before[self.firsts[:-1]][chunks]
        return int(np.count_nonzero(ends <= limit))

    def _bytes_before(self, numbers: Integers) -> Integers:
        """Return the total size, in bytes, of the samples before each of these sample indexes."""
        totals = np.append(0, np.cumsum(self.sizes))
        before: Integers = numbers * self.sizes[0] if len(self.sizes) == 1 else totals[numbers]
        return before


def read_tracks(moov: bytes) -> Iterator[Track]:
    """Yield the tracks whose samples are in the file itself, omitting tracks with inconsistent tables."""
    for box in children(moov):
        if box.name == b"trak":
            media = contents(contents(moov[box.start : box.end]).get(b"mdia", b""))
            info = contents(media.get(b"minf", b""))
            if _is_in_file(contents(info.get(b"dinf", b"")).get(b"dref", b"")):
                is_video = media.get(b"hdlr", b"")[8:12] == b"vide"
                track = _track(is_video, contents(info.get(b"stbl", b"")))
                if track is not None:
                    yield track


def _is_in_file(references: bytes) -> bool:
    """Return whether every data reference (`dref`) refers to the file itself."""
    return all(references[entry.start + 3 : entry.start + 4] == b"\1" for entry in children(references, 8))


def _track(is_video: bool, tables: Mapping[bytes, bytes]) -> Track | None:
    offsets = _table(tables[b"stco"], ">u4") if b"stco" in tables else _table(tables.get(b"co64", b""), ">u8")
    runs = _table(tables.get(b"stsc", b""), ">u4", columns=3)
    sizes, count = _sizes(tables)
    if not len(offsets) or not len(runs) or not len(sizes):
        return None
    begins = np.append(np.clip(runs[:, 0] - 1, 0, len(offsets)), len(offsets))  # the chunk at which each run begins
    if begins[0] or (np.diff(begins) < 0).any():
        return None
    firsts = np.append(0, np.cumsum(np.repeat(runs[:, 1], np.diff(begins))))
    return Track(is_video, offsets, np.clip(firsts, 0, count), sizes)


def _sizes(tables: Mapping[bytes, bytes]) -> tuple[Integers, int]:
    """Return the sample sizes (a single one if all are equal) and the number of samples."""
    data = tables.get(b"stsz", b"")
    if len(data) >= 12:
        same, count = int.from_bytes(data[4:8], "big"), int.from_bytes(data[8:12], "big")
        if same:
            return np.array([same], np.int64), count
        sizes = _table(data[4:], ">u4")
        return sizes, len(sizes)
    data = tables.get(b"stz2", b"")
    if data[7:8] in (b"\x08", b"\x10"):
        sizes = _table(data[4:], ">u1" if data[7] == 8 else ">u2")
        return sizes, len(sizes)
    return np.empty(0, np.int64), 0


def _table(data: bytes, dtype: str, columns: int = 0) -> Any:
    """Return the entries of a table, which consists of version and flags, the number of entries, and the entries."""
    width = np.dtype(dtype).itemsize * (columns or 1)
    count = min(int.from_bytes(data[4:8], "big"), max(len(data) - 8, 0) // width)
    entries = np.frombuffer(data[8 : 8 + count * width], dtype).astype(np.int64)
    return entries.reshape(-1, columns) if columns else entries
