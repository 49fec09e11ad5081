"""Write graphs to a bundle's folder and build their manifest entries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from ...files import sha256
from ...runtime.bundle.manifest import FileSpec, PartSpec, Target, TensorSpec
from . import count_macs

if TYPE_CHECKING:
    from ...models.part import Part, PartTensor


def write_graph(model: onnx.ModelProto, folder: Path, precision: str, target: Target | None = None) -> FileSpec:
    """Write ``model`` under its name, and that of its target, to a precision's folder; create it if necessary."""
    path = folder / precision / f"{model.graph.name}{'' if target is None else f'_{target}'}.onnx"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return file_spec(path, folder)


def file_spec(path: Path, folder: Path) -> FileSpec:
    """Return the manifest entry for a file in the bundle ``folder``."""
    return FileSpec(path=path.relative_to(folder).as_posix(), size_bytes=path.stat().st_size, sha256=sha256(path))


def part_spec(part: Part, model: onnx.ModelProto, files: dict[str, FileSpec]) -> PartSpec:
    """Return the manifest entry for a part; ``model`` is its graph, with all weights embedded."""
    return PartSpec(
        inputs=tuple(map(tensor_spec, part.inputs)),
        output=tensor_spec(part.output),
        macs=count_macs.macs(model),
        parameters=count_macs.parameters(model),
        files=files,
    )


def tensor_spec(tensor: PartTensor) -> TensorSpec:
    """Return the manifest entry for an input or output of a part."""
    return TensorSpec(name=tensor.name, dtype=tensor.dtype, shape=tensor.shape)
