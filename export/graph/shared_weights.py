"""Store the tensors of several graphs in one file, without duplicates.

This uses ONNX external data: a graph gives a file, an offset and a length, and the runtime maps the file into memory.
The file is in the same folder as the graphs, because ONNX Runtime does not follow paths that lead out of that folder.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, external_data_helper, numpy_helper

WEIGHTS_FILE = "weights.bin"
_MIN_EXTERNAL_BYTES = 4096  # a reference in a graph takes about 100 bytes
_ALIGNMENT = 64  # bytes: the width of the widest vector registers


class WeightsFile:
    """A weights file at ``path``, which grows with every tensor that it does not yet contain."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offsets: dict[bytes, int] = {}
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")

    def add_rows(self, array: NDArray[np.float32]) -> None:
        """Add an array, such that graphs can refer to the whole array or to a single one of its rows."""
        rows = [np.ascontiguousarray(row).tobytes() for row in array]
        start = self._add(b"".join(rows))
        for index, row in enumerate(rows):
            self._offsets.setdefault(hashlib.sha256(row).digest(), start + index * len(row))

    def externalize(self, model: onnx.ModelProto) -> None:
        """Move the large tensors of ``model`` into the file and replace them with references."""
        for tensor in model.graph.initializer:
            content = _raw_bytes(tensor)
            if len(content) >= _MIN_EXTERNAL_BYTES:
                _refer(tensor, self.path.name, self._add(content), len(content))

    def _add(self, content: bytes) -> int:
        """Write the content unless the file has it, and return its offset."""
        digest = hashlib.sha256(content).digest()
        if digest not in self._offsets:
            with self.path.open("ab") as file:
                file.write(bytes(-file.tell() % _ALIGNMENT))
                self._offsets[digest] = file.tell()
                file.write(content)
        return self._offsets[digest]


def _raw_bytes(tensor: TensorProto) -> bytes:
    """Convert the tensor to the raw form required for external data, and return its bytes."""
    if not tensor.HasField("raw_data"):
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
    return tensor.raw_data


def _refer(tensor: TensorProto, location: str, offset: int, length: int) -> None:
    external_data_helper.set_external_data(tensor, location, offset, length)
    tensor.ClearField("raw_data")
