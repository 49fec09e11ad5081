"""The numbers of the CUDA graphs that ONNX Runtime captures."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from threading import RLock
from typing import TYPE_CHECKING

from .session import TensorLocation

if TYPE_CHECKING:
    import onnxruntime

GRAPHS_KEPT = 64  # each holds memory of its own; what is run in further places is run without
_NO_GRAPH = -1  # what ONNX Runtime takes for: neither capture nor replay


class CudaGraphIds:
    """Gives every part and the places that it is run on a number.

    A captured graph reads and writes where it was captured, whatever is bound later: its number stands for the places.
    While one is captured, no other thread may allocate: ``lock`` is held around everything that touches the GPU.
    """

    def __init__(self, parts: frozenset[str]) -> None:
        self.parts = parts
        self.lock: AbstractContextManager[object] = RLock() if parts else nullcontext()
        self._numbers: dict[tuple[object, ...], int] = {}

    def options(self, part: str, locations: Sequence[TensorLocation]) -> onnxruntime.RunOptions | None:
        """Return the options of a run; None where nothing of the part is captured."""
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
