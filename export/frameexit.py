"""A FrameExit's share of the export: its parts in every precision, its manifest, its numerical check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnx

from ..errors import CheckpointError
from ..models.frameexit.network import FrameExit
from ..models.part import Part
from ..runtime.bundle.bundle import Bundle
from ..runtime.bundle.manifest import Check, FileSpec, FrameExitManifest, PolicySpec, PrecisionSpec
from ..runtime.engines.pytorch.engine import TorchEngine
from ..runtime.policies.gates import frameexit_policy
from .graph.torch_to_onnx import trace_parts
from .graph.write import part_spec, write_graph
from .options import ExportOptions
from .precision.activation_ranges import Calibration
from .precision.recipes import CONVERTED_PART, backbones
from .preprocess.select import graph_of
from .verify.tolerances import candidate
from .verify.verify import verify


def check_options(network: FrameExit, checkpoint: Path, options: ExportOptions) -> None:
    """Raise CheckpointError if something was asked for that only frame-flexible networks have."""
    if options.frames is not None or options.layout is not None:
        asked = "frame counts" if options.frames is not None else "a weight layout"
        raise CheckpointError(
            f"{checkpoint}: holds a {network.name}, which has no {asked} to choose from",
            "leave --frames and --weights out, or give a TSM, TEA, SlowFast or Uniformer checkpoint",
        )


def write(
    network: FrameExit,
    folder: Path,
    common: dict[str, Any],
    options: ExportOptions,
    calibration: Calibration | None,
    progress: Callable[[str], None],
) -> FrameExitManifest:
    """Write all parts of ``network`` into ``folder``; see ``backbones`` for what is raised."""
    progress("tracing and cutting the network")
    parts = {part.name: part for part in network.parts()}
    graphs = _graphs(network, parts, options.opset)
    shared = {name: write_graph(graphs[name], folder, "fp32") for name in parts if name != CONVERTED_PART}
    files: dict[str, FileSpec] = {}
    details: dict[str, PrecisionSpec] = {}
    made = backbones(graphs, options.precisions, calibration, network.head.frames, folder, progress)
    for precision, model, spec in made:
        files[precision] = write_graph(model, folder, precision)
        if spec is not None:
            details[precision] = spec
    specs = {
        name: part_spec(
            part,
            graphs[name],
            files if name == CONVERTED_PART else dict.fromkeys(options.precisions, shared[name]),
        )
        for name, part in parts.items()
    }
    return FrameExitManifest(
        **common,
        parts=specs,
        weights={},
        precision_details=details,
        frames=network.head.frames,
        frame_order=network.frame_order,
        state_shape=(network.head.hidden,),
        policy=PolicySpec(first_threshold=options.first_threshold, gate_threshold=0.5),
        paper_gmacs_per_frame=network.paper_gmacs_per_frame,
    )


def checks(
    bundle: Bundle[FrameExitManifest], network: FrameExit, options: ExportOptions, progress: Callable[[str], None]
) -> dict[str, Check]:
    """Compare every precision with PyTorch; see ``verify``."""
    reference = TorchEngine({part.name: part.module for part in network.parts()}, threads=0)
    defaults = bundle.manifest.policy
    policy = frameexit_policy(defaults.first_threshold, defaults.gate_threshold)
    found = {}
    for precision in bundle.manifest.precisions:
        progress(f"checking every part against PyTorch ({precision})")
        engine = candidate(bundle, precision)
        found[precision] = verify(bundle.manifest, reference, engine, policy, options.max_error, precision)
    return found


def _graphs(network: FrameExit, parts: Mapping[str, Part], opset: int) -> dict[str, onnx.ModelProto]:
    traced = trace_parts([part for name, part in parts.items() if name != "preprocess"], opset)
    return {"preprocess": graph_of(network.preprocessing, opset), **traced}
