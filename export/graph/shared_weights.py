"""Keep the tensors of several graphs in one file, each once, however many graphs have it.

ONNX calls it external data: a graph names file, offset and length, and a runtime maps the file into memory. The file
lies beside the graphs, because ONNX Runtime follows no path that leaves their folder.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx
from onnx import TensorProto, external_data_helper, numpy_helper

WEIGHTS_FILE = "weights.bin"
_MIN_EXTERNAL_BYTES = 4096  # bytes; an entry in a graph takes about a hundred
_ALIGNMENT = 64  # bytes: what the widest vector instructions like


class WeightsFile:
    """The file at ``path``, which grows as graphs bring tensors that are not in it yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offsets: dict[bytes, int] = {}
        path.write_bytes(b"")

    def externalize(self, model: onnx.ModelProto) -> None:
        """Move the large tensors of ``model`` into the file; the graph then refers to it."""
        with self.path.open("ab") as file:
            for tensor in model.graph.initializer:
                content = _raw_bytes(tensor)
                if len(content) < _MIN_EXTERNAL_BYTES:
                    continue
                digest = hashlib.sha256(content).digest()
                if digest not in self._offsets:
                    file.write(bytes(-file.tell() % _ALIGNMENT))
                    self._offsets[digest] = file.tell()
                    file.write(content)
                _refer(tensor, self.path.name, self._offsets[digest], len(content))


def _raw_bytes(tensor: TensorProto) -> bytes:
    """Return the tensor's bytes, which it then has in raw form, as external data requires."""
    if not tensor.HasField("raw_data"):
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
    return tensor.raw_data


def _refer(tensor: TensorProto, location: str, offset: int, length: int) -> None:
    external_data_helper.set_external_data(tensor, location, offset, length)
    tensor.ClearField("raw_data")
