"""A frame-flexible network's share of the export: one part per frame count, its manifest, its numerical check."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from ..errors import UsageError
from ..models.ffn.base import FrameFlexible
from ..runtime.bundle.bundle import Bundle
from ..runtime.bundle.manifest import Check, FlexibleManifest, PartSpec
from ..runtime.engines.pytorch.engine import TorchEngine
from .graph.fold_batch_norm import with_separate_norms, without_batch_norms
from .graph.shared_weights import WEIGHTS_FILE, WeightsFile
from .graph.torch_to_onnx import trace_parts
from .graph.write import file_spec, part_spec, write_graph
from .options import ExportOptions, Layout
from .preprocess.select import graph_of
from .verify.frame_counts import verify_counts
from .verify.tolerances import candidate

_PRECISION = "fp32"
_PREPARE: dict[Layout, Callable[[nn.Module], nn.Module]] = {
    "folded": without_batch_norms,
    "shared": with_separate_norms,
}


def check_options(network: FrameFlexible, checkpoint: Path, options: ExportOptions) -> None:
    """Raise UsageError unless the network can be made as asked."""
    if options.precisions != (_PRECISION,):
        asked = ", ".join(options.precisions)
        raise UsageError(
            f"{checkpoint}: {network.name} is exported in {_PRECISION} only, not in {asked}", "leave it out"
        )
    counts = _counts(network, options)
    if not counts:
        raise UsageError(
            f"{checkpoint}: {network.name} does not say how many frames it was trained with",
            "give the frame counts to run it at: --frames 8",
        )
    network.parts(counts)


def write(
    network: FrameFlexible,
    folder: Path,
    common: dict[str, Any],
    options: ExportOptions,
    progress: Callable[[str], None],
) -> FlexibleManifest:
    """Write the parts of every frame count into ``folder``: graphs, and one file with what they have in common."""
    counts, layout = _counts(network, options), options.layout or "folded"
    preprocess = network.preprocess()
    graph = graph_of(network.preprocessing, options.opset)
    specs = {preprocess.name: part_spec(preprocess, graph, {_PRECISION: write_graph(graph, folder, _PRECISION)})}
    weights = WeightsFile(folder / _PRECISION / WEIGHTS_FILE)
    # One count at a time: a traced network weighs twice what its weights do.
    for count in counts:
        progress(f"tracing the network at {count} frames")
        specs |= _written(network, count, folder, weights, options.opset, layout)
    return FlexibleManifest(
        **common,
        family=network.family,
        parts=specs,
        weights={_PRECISION: file_spec(weights.path, folder)},
        precision_details={},
        frame_counts=counts,
        branches=tuple(network.branch(count) for count in counts),
        sampling=network.sampling,
        layout=layout,
    )


def checks(
    bundle: Bundle[FlexibleManifest], network: FrameFlexible, options: ExportOptions, progress: Callable[[str], None]
) -> dict[str, Check]:
    """Compare every part with PyTorch; see ``verify_counts``."""
    progress("checking every part against PyTorch")
    parts = network.bundle_parts(bundle.manifest.frame_counts)
    reference = TorchEngine({part.name: part.module for part in parts}, threads=0)
    engine = candidate(bundle, _PRECISION)
    return {_PRECISION: verify_counts(bundle.manifest, reference, engine, options.max_error)}


def _written(
    network: FrameFlexible, count: int, folder: Path, weights: WeightsFile, opset: int, layout: Layout
) -> dict[str, PartSpec]:
    (part,) = network.parts([count])
    model = trace_parts([part], opset, _PREPARE[layout])[part.name]
    spec = part_spec(part, model, {})
    weights.take_from(model)
    return {part.name: spec.model_copy(update={"files": {_PRECISION: write_graph(model, folder, _PRECISION)}})}


def _counts(network: FrameFlexible, options: ExportOptions) -> tuple[int, ...]:
    return tuple(sorted(network.branches if options.frames is None else options.frames))
