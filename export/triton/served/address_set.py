"""Sets of memory addresses, to find out whether arrays overlap those of many deferred operations."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from ....runtime.engines.base import Array


class AddressSet:
    """The memory of contiguous arrays, as disjoint ranges in ascending order; adjacent ranges are merged.

    A clip's frames are neighbors in memory, so a set stays small, and each operation takes logarithmic time.
    """

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, array: Array) -> None:
        """Add the memory of an array."""
        start, end = _range(array)
        first, last = bisect_left(self._ends, start), bisect_right(self._starts, end)
        if first < last:  # the ranges that the new one overlaps or touches
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._starts[first:last], self._ends[first:last] = [start], [end]

    def overlaps(self, array: Array) -> bool:
        """Return whether an array shares memory with the set."""
        start, end = _range(array)
        place = bisect_right(self._ends, start)
        return place < len(self._starts) and self._starts[place] < end

    def clear(self) -> None:
        """Remove everything."""
        self._starts.clear()
        self._ends.clear()


def _range(array: Array) -> tuple[int, int]:
    """Return the addresses of an array's first byte and of the byte after its last one."""
    start = array.__array_interface__["data"][0]
    return start, start + array.nbytes
