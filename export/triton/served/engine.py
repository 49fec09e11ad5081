"""Engine whose parts are models on the same server.

A call of a part costs a round trip between processes, so calls are deferred and executed together: the frames of all
clips in a tick become one call to the preprocessing, and gates and classifiers run at the same time. Execution
reads the inputs of all deferred calls, then writes their outputs, then makes the deferred copies in order. Whatever
does not commute with this order is executed before anything else is deferred, so nothing but time depends on it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from ....runtime.engines.base import Array, Handle
from ....runtime.engines.numpy_memory import NumpyMemory
from .address_set import AddressSet
from .parts import PartCall, Parts


class _Deferred(NamedTuple):
    part: str
    inputs: tuple[Array, ...]
    out: Array

    @property
    def group(self) -> tuple[object, ...]:
        """Calls of the same group can share a batch."""
        return (self.part, *(each.shape[1:] for each in self.inputs))


class ServerEngine(NumpyMemory):
    """Runs ``parts`` for one stream, whose thread is the only one to use the engine.

    The frames of a clip may be read without prefetching only: a reader thread would be a second user.
    """

    name = "triton"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._calls: list[_Deferred] = []
        self._copies: list[tuple[Array, Array]] = []
        self._read = AddressSet()  # inputs of the calls
        self._copied = AddressSet()  # sources of the copies
        self._written = AddressSet()  # outputs of the calls, and targets of the copies

    def describe(self) -> dict[str, str]:
        return {"engine": self.name}

    def get(self, handle: Handle) -> Array:
        self._flush()
        return super().get(handle)

    def fetch(self, handle: Handle) -> Callable[[], Array]:
        """Return a function that executes the deferred calls and returns the array."""
        return lambda: self.get(handle)

    def copy(self, source: Handle, target: Handle) -> None:
        if not self._calls:
            super().copy(source, target)
            return
        self._copies.append((source, target))
        self._copied.add(source)
        self._written.add(target)

    def write(self, array: Array, target: Handle) -> None:
        if self._read.overlaps(target) or self._written.overlaps(target) or self._copied.overlaps(target):
            self._flush()
        super().write(array, target)

    def run(self, part: str, *inputs: Handle, out: Handle | None = None) -> Handle:
        if out is None:
            spec = self._parts.specs[part].output
            out = np.empty((len(inputs[0]), *spec.shape[1:]), spec.dtype)
        if any(map(self._written.overlaps, (*inputs, out))) or self._copied.overlaps(out):
            self._flush()
        self._calls.append(_Deferred(part, inputs, out))
        for array in inputs:
            self._read.add(array)
        self._written.add(out)
        return out

    def _flush(self) -> None:
        """Execute everything that was deferred."""
        calls, copies = self._calls, self._copies
        self._calls, self._copies = [], []
        self._read.clear()
        self._copied.clear()
        self._written.clear()
        groups: dict[tuple[object, ...], list[_Deferred]] = {}
        for call in calls:
            groups.setdefault(call.group, []).append(call)
        if groups:
            outputs = self._parts.run([_joined(group) for group in groups.values()])
            for group, output in zip(groups.values(), outputs):
                _distribute(output, group)
        for source, target in copies:
            super().copy(source, target)


def _joined(group: list[_Deferred]) -> PartCall:
    if len(group) == 1:
        return PartCall(group[0].part, group[0].inputs)
    return PartCall(group[0].part, [np.concatenate(rows) for rows in zip(*(call.inputs for call in group))])


def _distribute(output: Array, group: list[_Deferred]) -> None:
    ends = accumulate((len(call.out) for call in group), initial=0)
    for call, (start, stop) in zip(group, pairwise(ends)):
        np.copyto(call.out, output[start:stop])
