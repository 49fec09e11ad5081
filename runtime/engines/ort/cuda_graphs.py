"""CUDA-graph ids for ONNX Runtime: one per part and set of addresses."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from threading import RLock
from typing import TYPE_CHECKING

from .session import TensorLocation

if TYPE_CHECKING:
    import onnxruntime

GRAPHS_KEPT = 64  # each holds its own memory; runs at any other addresses do not use a graph
_NO_GRAPH = -1  # tells ONNX Runtime not to capture or replay a graph


class CudaGraphIds:
    """Assigns an id to every combination of a part and the tensor locations that it runs on.

    A captured graph reads and writes the addresses bound at capture, even if others are bound later, so its id is tied
    to those addresses. No other thread may allocate while a graph is being captured, so ``lock`` is held during every
    GPU operation.
    """

    def __init__(self, parts: frozenset[str]) -> None:
        self.parts = parts
        self.lock: AbstractContextManager[object] = RLock() if parts else nullcontext()
        self._numbers: dict[tuple[object, ...], int] = {}

    def options(self, part: str, locations: Sequence[TensorLocation]) -> onnxruntime.RunOptions | None:
        """Return the options for a run, or None if the part is not captured."""
        if part not in self.parts:
            return None
        import onnxruntime

        options = onnxruntime.RunOptions()
        options.add_run_config_entry("gpu_graph_id", str(self._number((part, *locations))))
        return options

    def _number(self, key: tuple[object, ...]) -> int:
        if key not in self._numbers and len(self._numbers) < GRAPHS_KEPT:
            self._numbers[key] = len(self._numbers) + 1
        return self._numbers.get(key, _NO_GRAPH)
