"""Write the parts that evaluate gates and classifiers: a graph for CPUs and one for GPUs, with shared weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import onnx

from ...runtime.bundle.manifest import CLASSIFIERS, FileSpec, PartSpec, Target, TensorSpec
from ..graph.shared_weights import WEIGHTS_FILE, WeightsFile
from ..graph.write import file_spec, write_graph
from . import dense_form, switch_form
from .layers import StackedHeads

_FP32 = "fp32"


class HeadPart(NamedTuple):
    """A part to write: its name, its tensors, and the weights of its steps."""

    name: str
    inputs: tuple[TensorSpec, ...]
    output: TensorSpec
    heads: StackedHeads


class WrittenHeads(NamedTuple):
    """Manifest entries of the written parts, and of the file with their weights."""

    parts: dict[str, PartSpec]
    weights: FileSpec


class _Form(Protocol):
    def __call__(self, signature: str, heads: StackedHeads, opset: int) -> onnx.ModelProto: ...


def write_heads(parts: Sequence[HeadPart], folder: Path, precisions: Iterable[str], opset: int) -> WrittenHeads:
    """Write ``parts`` to the bundle ``folder``, in files that all ``precisions`` share."""
    path = folder / _FP32 / WEIGHTS_FILE
    path.parent.mkdir(exist_ok=True)
    weights = WeightsFile(path)
    written = {part.name: _write(part, weights, folder, tuple(precisions), opset) for part in parts}
    return WrittenHeads(written, file_spec(path, folder))


def _write(part: HeadPart, weights: WeightsFile, folder: Path, precisions: Sequence[str], opset: int) -> PartSpec:
    for layer in part.heads.layers:
        weights.add_rows(layer.weight)
    cpu, gpu = _forms(part.name)
    files = _write_form(cpu(_signature(part), part.heads, opset), weights, folder)
    gpu_files = _write_form(gpu(_signature(part), part.heads, opset), weights, folder, "gpu")
    return PartSpec(
        inputs=part.inputs,
        output=part.output,
        macs=part.heads.macs,
        parameters=part.heads.parameters,
        files=dict.fromkeys(precisions, files),
        other_forms={"gpu": dict.fromkeys(precisions, gpu_files)},
    )


def _forms(part: str) -> tuple[_Form, _Form]:
    if part == CLASSIFIERS:
        return switch_form.classifiers, dense_form.classifiers
    return switch_form.gates, dense_form.gates


def _write_form(model: onnx.ModelProto, weights: WeightsFile, folder: Path, target: Target | None = None) -> FileSpec:
    weights.externalize(model)
    return write_graph(model, folder, _FP32, target)


def _signature(part: HeadPart) -> str:
    inputs = ", ".join(map(_tensor, part.inputs))
    return f"{part.name} ({inputs}) => ({_tensor(part.output)})"


def _tensor(spec: TensorSpec) -> str:
    return f"float[{', '.join(map(str, spec.shape))}] {spec.name}"
