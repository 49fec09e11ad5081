"""Write the parts of a network into a bundle's folder, in every precision that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import onnx

from ..models.frameexit import FrameExit
from ..models.part import Part, Tensor
from ..models.preprocess import MEAN, STD
from ..runtime.files import sha256
from ..runtime.manifest import FileSpec, PartSpec, PrecisionSpec, TensorSpec
from . import cost
from .calibrate import Calibration
from .precision import CONVERTED_PART, backbones
from .preprocess import preprocess_graph
from .trace import trace_parts


class Written(NamedTuple):
    """What the manifest says about the files: every part, and how each precision other than fp32 was made."""

    parts: dict[str, PartSpec]
    details: dict[str, PrecisionSpec]


def write_parts(
    network: FrameExit,
    folder: Path,
    opset: int,
    precisions: Sequence[str],
    calibration: Calibration | None,
    progress: Callable[[str], None],
) -> Written:
    """Write all parts of ``network`` into ``folder``; see ``backbones`` for what is raised."""
    parts = {part.name: part for part in network.parts()}
    graphs = _graphs(network, parts, opset)
    shared = {name: _write(graphs[name], folder, "fp32") for name in parts if name != CONVERTED_PART}
    files: dict[str, FileSpec] = {}
    details: dict[str, PrecisionSpec] = {}
    made = backbones(graphs, precisions, calibration, network.head.frames, folder, progress)
    for precision, model, spec in made:
        files[precision] = _write(model, folder, precision)
        if spec is not None:
            details[precision] = spec
    specs = {
        name: _part_spec(
            part,
            graphs[name],
            files if name == CONVERTED_PART else dict.fromkeys(precisions, shared[name]),
        )
        for name, part in parts.items()
    }
    return Written(specs, details)


def _graphs(network: FrameExit, parts: Mapping[str, Part], opset: int) -> dict[str, onnx.ModelProto]:
    traced = trace_parts([part for name, part in parts.items() if name != "preprocess"], opset)
    return {"preprocess": preprocess_graph(network.input_size, MEAN, STD, opset), **traced}


def _write(model: onnx.ModelProto, folder: Path, precision: str) -> FileSpec:
    path = folder / precision / f"{model.graph.name}.onnx"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return FileSpec(path=path.relative_to(folder).as_posix(), size_bytes=path.stat().st_size, sha256=sha256(path))


def _part_spec(part: Part, model: onnx.ModelProto, files: dict[str, FileSpec]) -> PartSpec:
    return PartSpec(
        inputs=tuple(_tensor_spec(tensor) for tensor in part.inputs),
        output=_tensor_spec(part.output),
        macs=cost.macs(model),
        parameters=cost.parameters(model),
        files=files,
    )


def _tensor_spec(tensor: Tensor) -> TensorSpec:
    return TensorSpec(name=tensor.name, dtype=tensor.dtype, shape=tensor.shape)
