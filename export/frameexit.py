"""Exporter for FrameExit: parts in every precision, manifest, verification and served model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ..errors import CheckpointError
from ..runtime.bundle.bundle import Bundle
from ..runtime.bundle.manifest import Check, FileSpec, FrameExitManifest, PartSpec, PolicySpec, PrecisionSpec
from ..runtime.engines.pytorch.engine import TorchEngine
from ..runtime.families import family_of
from ..runtime.policies.base import Policy
from ..runtime.policies.choice import PolicyChoice
from ..runtime.policies.gates import FrameExitPolicy
from .family import ExportFamily, ExportJob, ServingSpec, ServingText

if TYPE_CHECKING:
    import onnx

    from ..models.frameexit.network import FrameExit
    from ..models.part import Part
    from .gate_sets import GateSet
    from .heads.write import WrittenHeads
    from .options import ExportOptions

_GATE_THRESHOLD = 0.5  # the authors' value
_BACKBONE = "backbone"
_TRACED = (_BACKBONE, "accumulator")
_FP32 = "fp32"


class FrameExitExporter(ExportFamily["FrameExit", FrameExitManifest]):
    """Exports each part as a separate graph; only the backbone differs between precisions."""

    def check_options(self, network: FrameExit, checkpoint: Path, options: ExportOptions) -> None:
        if network.clip_frames > 1 and options.precisions != (_FP32,):
            raise CheckpointError(
                f"{checkpoint} holds a {network.name}, which can be exported in {_FP32} only", "omit --precision"
            )
        if options.clip_sampling is not None and network.clip_frames == 1:
            raise CheckpointError(
                f"{checkpoint} holds a {network.name}, whose steps read single frames", "omit --clip-sampling"
            )
        if options.frames is not None or options.layout is not None:
            missing = "frame counts" if options.frames is not None else "weight layouts"
            raise CheckpointError(
                f"{checkpoint} holds a {network.name}, which has no {missing} to choose from",
                "omit --frames and --weights, or use the checkpoint of a frame-flexible network",
            )

    def write(self, network: FrameExit, job: ExportJob) -> FrameExitManifest:
        from .precision.activation_ranges import activation_ranges
        from .precision.recipes import conversions
        from .verify.tolerances import all_check_clips

        job.progress("tracing and cutting the network")
        sets = _gate_sets(job)
        parts = _parts(network, sets)
        graphs = _graphs(network, job.options.opset)
        files: dict[str, FileSpec] = {}
        details: dict[str, PrecisionSpec] = {}
        options, folder = job.options, job.folder
        heads = _write_heads([part for part in parts if part.name not in graphs], job)
        specs = dict(_write_parts([part for part in parts if part.name in graphs], graphs, job)) | heads.parts
        frames = network.head.frames
        measure = partial(activation_ranges, graphs["preprocess"], graphs[_BACKBONE], frames, folder)
        converted = conversions(
            graphs[_BACKBONE], measure, options.precisions, job.calibration, all_check_clips, job.progress
        )
        for precision, model, spec in converted:
            files[precision] = _write(model, folder, precision)
            if spec is not None:
                details[precision] = spec
        specs[_BACKBONE] = specs[_BACKBONE].model_copy(update={"files": files})
        return FrameExitManifest(
            **job.common,
            parts=specs,
            weights=dict.fromkeys(options.precisions, heads.weights),
            precision_details=details,
            frames=network.head.frames,
            clip_frames=network.clip_frames,
            sampling="linspace" if network.clip_frames == 1 else options.clip_sampling or "temporal_views",
            frame_order=network.frame_order,
            state_shape=(network.head.hidden,),
            policy=_policy(options),
            paper_gmacs_per_frame=network.paper_gmacs_per_frame,
            trunk_sha256=network.trunk_sha256(),
            gate_sets={each.name: each.spec for each in sets},
        )

    def verify(self, network: FrameExit, bundle: Bundle[FrameExitManifest], job: ExportJob) -> dict[str, Check]:
        from .precision.half_arithmetic import with_half_arithmetic
        from .verify.tolerances import load_candidate, load_gpu_forms
        from .verify.verify import verify

        reference = TorchEngine({part.name: part.module for part in _parts(network, _gate_sets(job))}, threads=0)
        policy = family_of(bundle.manifest).resolve(bundle.manifest, PolicyChoice()).policy
        checks = {}
        for precision in bundle.manifest.precisions:
            job.progress(f"checking every part against PyTorch ({precision})")
            with TemporaryDirectory(dir=bundle.path) as scratch:
                engine = load_candidate(with_half_arithmetic(bundle, precision, Path(scratch)), precision)
            gpu_forms = load_gpu_forms(bundle, precision)
            checks[precision] = verify(bundle, reference, engine, policy, job.options.max_error, precision, gpu_forms)
        return checks

    def serving(self, manifest: FrameExitManifest, policy: Policy) -> ServingSpec:
        frames, single = manifest.frames, manifest.clip_frames == 1
        gates = isinstance(policy, FrameExitPolicy)
        content = (
            f"{frames} decoded frames of a video in temporal order, of any size; vbench samples them at "
            f"`vbench.runtime.video.sampling.linspace_positions(length, {frames})`."
            if single
            else f"all decoded frames of a video in temporal order, of any size and number; {frames} clips of "
            f"{manifest.clip_frames} frames are sampled from them as at 30 frames per second ({manifest.sampling})."
        )
        return ServingSpec(
            frames=frames if single else -1,
            max_frames=frames * manifest.clip_frames,
            batched=frozenset([_BACKBONE]),
            rows=1,
            parameters=("first_threshold", "gate_threshold") if gates else (),
            choice=PolicyChoice(policy.first_threshold, policy.gate_thresholds, policy.gate_set)
            if isinstance(policy, FrameExitPolicy)
            else PolicyChoice(),
            text=ServingText(
                example_parameters='{"first_threshold": "0.9"}' if gates else "{}",
                frames=content,
                request_parameters="A request may set its own thresholds with parameters, as strings or numbers: "
                "`first_threshold` (the confidence above which a clip exits at step 1) and `gate_threshold` (one for "
                "all gates, or one per gate, separated by commas)."
                if gates
                else f"Requests take no parameters, because the repository's policy is {policy.kind}.",
                batching="Each step makes one backbone call with the next frame of every active clip; clips exit "
                "independently.",
                batched_part="the backbone",
            ),
        )


def _gate_sets(job: ExportJob) -> tuple[GateSet, ...]:
    from .gate_sets import read_gate_sets

    folder = job.options.gate_sets
    if folder is None:
        return ()
    output = job.options.stated_probabilities or "softmax"
    return read_gate_sets(folder, job.common["source"].sha256, job.folder, output)


def _parts(network: FrameExit, sets: tuple[GateSet, ...]) -> tuple[Part, ...]:
    from .gate_sets import gate_set_parts

    return (*network.parts(), *gate_set_parts(network, sets))


def _graphs(network: FrameExit, opset: int) -> dict[str, onnx.ModelProto]:
    """Return the graphs of the parts that are the same at every step."""
    from .graph.torch_to_onnx import trace_parts
    from .preprocess.select import preprocess_graph_for

    traced = trace_parts([part for part in network.parts() if part.name in _TRACED], opset)
    return {"preprocess": preprocess_graph_for(network.preprocessing, opset), **traced}


def _write_heads(parts: Sequence[Part], job: ExportJob) -> WrittenHeads:
    from .heads.parts import head_part
    from .heads.write import write_heads

    return write_heads(list(map(head_part, parts)), job.folder, job.options.precisions, job.options.opset)


def _write_parts(
    parts: Sequence[Part], graphs: dict[str, onnx.ModelProto], job: ExportJob
) -> Iterator[tuple[str, PartSpec]]:
    """Write the parts shared by all precisions, and yield the manifest entry of every part, in order."""
    from .graph.write import part_spec

    for part in parts:
        graph = graphs[part.name]
        shared = part.name != _BACKBONE
        files = dict.fromkeys(job.options.precisions, _write(graph, job.folder, "fp32")) if shared else {}
        yield part.name, part_spec(part, graph, files)


def _write(model: onnx.ModelProto, folder: Path, precision: str) -> FileSpec:
    from .graph.write import write_graph

    return write_graph(model, folder, precision)


def _policy(options: ExportOptions) -> PolicySpec:
    first, dataset = options.first_threshold, options.dataset
    if dataset is None:
        return PolicySpec(first_threshold=first, gate_threshold=_GATE_THRESHOLD)
    return PolicySpec(first_threshold=dataset.first_threshold, gate_threshold=_GATE_THRESHOLD, dataset=dataset.name)


EXPORTER = FrameExitExporter()
