"""Merge the parts for single steps in a bundle from an earlier version, for ``vbench migrate``.

The weights come from the graphs of the steps, so neither the checkpoint nor torch is needed. The manifest does not
refer to the new files until the caller replaces it, so an interrupted migration leaves the bundle as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from ...errors import BundleError, CheckError
from ...files import scratch_folder
from ...runtime.bundle.bundle import EXPORT_AGAIN, Bundle
from ...runtime.bundle.manifest import FrameExitManifest, PartSpec, TensorSpec
from ...runtime.bundle.step_parts import StepPartsManifest
from ...runtime.engines.base import EngineOptions
from ...runtime.engines.graph_check import graph_files
from ..verify.tolerances import difference
from .layers import Array, Weights, stacked_heads
from .write import HeadPart, write_heads

# A gate's layers in the order in which its graph evaluates them: first for the state, then for the previous state.
_GATE_LAYERS = ("conv1", "conv2", "conv1", "conv2", "linear")
_CLASSIFIER_LAYERS = ("classifier",)
_STEP = TensorSpec(name="step", dtype="float32", shape=("n", 1))
_MAX_ERROR = 1e-5  # the weights are the same, so only the order of summation differs
_MAGNITUDES = np.array([1, 0.1, 0.01, 0.001], np.float32)  # of the compared states: a gate must not always be saturated

Graphs = Mapping[str, Sequence[onnx.ModelProto]]  # of the steps, by the part that replaces them


def merge_steps(bundle: Bundle[StepPartsManifest]) -> Callable[[], FrameExitManifest]:
    """Read the parts for single steps, and return a function that writes the parts that replace them.

    That function returns the new manifest, and raises CheckError if a part does not agree with those that it replaces.

    Raises:
        BundleError: a file is missing or altered, or its graph is not that of a gate or a classifier.
    """
    manifest = bundle.manifest
    precision = manifest.precisions[0]  # all precisions share these files
    files = graph_files(bundle, precision, EngineOptions(precision=precision, parts=frozenset(manifest.head_parts)))
    graphs: dict[str, list[onnx.ModelProto]] = {}
    parts: list[HeadPart] = []
    for part, names in manifest.step_parts.items():
        with _refusing_other_graphs(bundle.path, part):
            graphs[part] = [onnx.load(files[name]) for name in names]
            heads = stacked_heads(part, [_weights(model.graph) for model in graphs[part]])
        spec = manifest.parts[names[0]]
        parts.append(HeadPart(part, (*spec.inputs, _STEP), spec.output, heads))
    return partial(_write, bundle, parts, graphs)


@contextmanager
def _refusing_other_graphs(bundle: Path, part: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # those of onnx and protobuf have no common base class
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BundleError(
            f"{bundle}: the graphs of its steps are not those that {part} can replace ({reason})", EXPORT_AGAIN
        ) from None


def _weights(graph: onnx.GraphProto) -> Weights:
    """Return the weights of the gate or classifier that ``graph`` evaluates.

    Only its nodes tell which tensor is which: the exporter stored equal tensors once, under the name of the first.

    Raises:
        KeyError: a tensor is missing.
        ValueError: the layers are not those of a gate or a classifier.
    """
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]
    names = _CLASSIFIER_LAYERS if len(nodes) == 1 else _GATE_LAYERS
    found: dict[str, Array] = {}
    for node, name in zip(nodes, names, strict=True):
        found[f"{name}.weight"], found[f"{name}.bias"] = (tensors[each] for each in node.input[1:])
    return found


def _write(bundle: Bundle[StepPartsManifest], parts: Sequence[HeadPart], graphs: Graphs) -> FrameExitManifest:
    opset = next(each.version for each in graphs[parts[0].name][0].opset_import if not each.domain)
    with scratch_folder(bundle.path, "heads") as scratch:
        written = write_heads(parts, scratch, bundle.manifest.precisions, opset)
        manifest = bundle.manifest.with_heads(written.parts, written.weights)
        for part in parts:
            _check(bundle.path, part, graphs[part.name], _forms(scratch, written.parts[part.name]))
        for path in sorted(scratch.glob("*/*")):
            path.replace(bundle.path / path.relative_to(scratch))
    return manifest


def _forms(folder: Path, spec: PartSpec) -> list[onnx.ModelProto]:
    files = spec.all_files()
    return [onnx.load(folder / file.path) for file in files]


def _check(bundle: Path, part: HeadPart, steps: Sequence[onnx.ModelProto], forms: Sequence[onnx.ModelProto]) -> None:
    """Compare both forms of a part with the graphs of the steps, on random states.

    Raises:
        BundleError: the graph of a step cannot be run.
        CheckError: a difference is larger than it can be with the same weights.
    """
    count, rng = len(steps), np.random.default_rng(0)
    scale = np.repeat(_MAGNITUDES, count)[:, None]
    size = (len(scale), part.heads.layers[0].weight.shape[2])
    states = {spec.name: scale * rng.random(size, np.float32) for spec in part.inputs[:-1]}
    step = np.tile(np.array(part.heads.steps, np.float32), len(_MAGNITUDES))[:, None]
    rows = [{name: state[index::count] for name, state in states.items()} for index in range(count)]
    with _refusing_other_graphs(bundle, part.name):
        expected = np.stack([_run(*each) for each in zip(steps, rows)], axis=1).reshape(len(scale), -1)
    for model in forms:
        error = difference(expected, _run(model, {**states, _STEP.name: step})).relative
        if not error <= _MAX_ERROR:
            raise CheckError(
                f"{bundle}: the part {part.name} differs by {error:.2g} from the parts that it replaces",
                "nothing was changed; export the checkpoint again with vbench export",
            )


def _run(model: onnx.ModelProto, inputs: Mapping[str, Array]) -> Array:
    (output,) = ReferenceEvaluator(model).run(None, dict(inputs))
    return np.asarray(output)
