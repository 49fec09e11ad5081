"""Exporter for frame-count networks: one part per frame count and precision, manifest, verification and served model.

The parts of a precision share one file of weights, so frame counts with equal convolutions share them in every
precision: a convolution's 8-bit weights depend only on its weights, not on the activations at a frame count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..runtime.bundle.bundle import Bundle
from ..runtime.bundle.manifest import Check, FileSpec, FlexibleManifest, PartSpec, PrecisionSpec, Target, frames_part
from ..runtime.engines.pytorch.engine import TorchEngine
from ..runtime.policies.base import Policy
from ..runtime.policies.choice import PolicyChoice
from .family import ExportFamily, ExportJob, ServingSpec, ServingText

if TYPE_CHECKING:
    import onnx

    from ..models.ffn.base import FrameFlexible
    from .graph.shared_weights import WeightsFile
    from .options import ExportOptions, Layout
    from .precision.recipes import Conversion

_FP32 = "fp32"
_LAYOUT: Layout = "folded"


class FrameCountExporter(ExportFamily["FrameFlexible", FlexibleManifest]):
    """Exports one graph per frame count and precision, and one file per precision with the weights that they share."""

    def check_options(self, network: FrameFlexible, checkpoint: Path, options: ExportOptions) -> None:
        if options.dataset is not None:
            raise UsageError(
                f"{checkpoint}: {network.name} has no defaults that depend on the data set {options.dataset.name}",
                "omit --dataset",
            )
        if network.only_fp32 and options.precisions != (_FP32,):
            raise UsageError(
                f"{checkpoint}: {network.name} can be exported in {_FP32} only, not in {', '.join(options.precisions)}",
                "omit --precision",
            )
        if options.gate_sets is not None:
            raise UsageError(f"{checkpoint}: {network.name} has no gates", "omit --gate-sets")
        if options.clip_sampling is not None:
            raise UsageError(f"{checkpoint}: {network.name} is not a FrameExit network", "omit --clip-sampling")
        if options.stated_probabilities == "sigmoid" and network.view_mean == "probabilities":
            raise UsageError(
                f"{checkpoint}: {network.name} averages the softmax of several clips, which has no sigmoid counterpart",
                "omit --probabilities",
            )
        counts = _counts(network, options)
        if not counts:
            raise UsageError(
                f"{checkpoint}: {network.name} does not record the frame counts it was trained with",
                "specify the frame counts to run it at, such as --frames 8",
            )
        network.parts(counts)

    def write(self, network: FrameFlexible, job: ExportJob) -> FlexibleManifest:
        from .graph.shared_weights import WEIGHTS_FILE, WeightsFile
        from .graph.write import file_spec, part_spec, write_graph
        from .precision.recipes import merged
        from .preprocess.select import preprocess_graph_for

        options, folder = job.options, job.folder
        counts = _counts(network, options)
        preprocess = network.preprocess()
        graph = preprocess_graph_for(network.preprocessing, options.opset)
        files = dict.fromkeys(options.precisions, write_graph(graph, folder, _FP32))
        specs = {preprocess.name: part_spec(preprocess, graph, files)}
        weights = {name: WeightsFile(folder / name / WEIGHTS_FILE) for name in options.precisions}
        details: dict[str, list[PrecisionSpec]] = {}
        # One count at a time, because a traced network takes twice the memory of its weights.
        for count in counts:
            job.progress(f"tracing the network at {count} frames")
            specs[frames_part(count)], found = _write_count(network, count, graph, weights, job)
            for precision, detail in found.items():
                details.setdefault(precision, []).append(detail)
        return FlexibleManifest(
            **job.common,
            parts=specs,
            weights={name: file_spec(file.path, folder) for name, file in weights.items()},
            precision_details={name: merged(details[name]) for name in options.precisions if name in details},
            frame_counts=counts,
            branches=tuple(network.branch(count) for count in counts),
            sampling=network.sampling,
            temporal_views=network.temporal_views,
            view_mean=network.view_mean,
            paper_gmacs_per_frame=_published_per_frame(network, counts),
            layout=options.layout or _LAYOUT,
        )

    def verify(self, network: FrameFlexible, bundle: Bundle[FlexibleManifest], job: ExportJob) -> dict[str, Check]:
        from .precision.half_arithmetic import with_half_arithmetic
        from .verify.tolerances import load_candidate
        from .verify.verify import verify_counts

        parts = network.parts_by_name(bundle.manifest.parts)
        reference = TorchEngine({name: part.module for name, part in parts.items()}, threads=0)
        checks = {}
        for precision in bundle.manifest.precisions:
            job.progress(f"checking every part against PyTorch ({precision})")
            found = []
            for form in _forms(bundle, precision):
                with TemporaryDirectory(dir=bundle.path) as scratch:
                    engine = load_candidate(with_half_arithmetic(form, precision, Path(scratch)), precision)
                found.append(verify_counts(form.manifest, reference, engine, job.options.max_error, precision))
            checks[precision] = max(found, key=lambda check: check.logits.relative)
        return checks

    def serving(self, manifest: FlexibleManifest, policy: Policy) -> ServingSpec:  # noqa: ARG002 - any frame count
        counts = ", ".join(map(str, manifest.frame_counts))
        return ServingSpec(
            frames=-1,
            max_frames=manifest.frame_counts[-1],
            batched=frozenset(map(frames_part, manifest.frame_counts)),
            rows=manifest.views,
            parameters=("frames", "cascade"),
            choice=PolicyChoice(),
            text=ServingText(
                example_parameters=f'{{"frames": "{manifest.frame_counts[0]}"}}',
                frames="decoded frames of a video in temporal order, of any size and number; if their number equals "
                f"the frame count, all are used; otherwise, they are sampled ({manifest.sampling}).",
                request_parameters="A request may carry two parameters, as strings or numbers: `frames` (one of "
                f"{counts}, or several separated by commas) and `cascade` (a confidence: run at the smallest count "
                "first, then at the next one until the confidence exceeds it).",
                batching="Clips that run at the same frame count share calls; clips leave a cascade independently.",
                batched_part="the part of a frame count",
            ),
        )


def _write_count(
    network: FrameFlexible,
    count: int,
    preprocess: onnx.ModelProto,
    weights: Mapping[str, WeightsFile],
    job: ExportJob,
) -> tuple[PartSpec, dict[str, PrecisionSpec]]:
    """Write the part of a frame count in every precision; return its manifest entry and how it was converted."""
    from .graph.depthwise import with_2d_depthwise
    from .graph.fold_batch_norm import fold_batch_norms, separate_batch_norms
    from .graph.torch_to_onnx import trace_parts
    from .graph.write import part_spec, write_graph

    (part,) = network.parts([count])
    prepare = {"folded": fold_batch_norms, "shared": separate_batch_norms}[job.options.layout or _LAYOUT]
    model = trace_parts([part], job.options.opset, prepare)[part.name]
    spec, for_ort = part_spec(part, model, {}), with_2d_depthwise(model)
    files: dict[str, FileSpec] = {}
    details: dict[str, PrecisionSpec] = {}
    for precision, converted, detail in _conversions(network, preprocess, model, count, job):
        weights[precision].externalize(converted)
        files[precision] = write_graph(converted, job.folder, precision)
        if detail is not None:
            details[precision] = detail
    other_forms: dict[Target, dict[str, FileSpec]] = {}
    if for_ort is not None and _FP32 in files:
        weights[_FP32].externalize(for_ort)
        other_forms["ort_cpu"] = {_FP32: write_graph(for_ort, job.folder, _FP32, "ort_cpu")}
    ordered = {precision: files[precision] for precision in job.options.precisions}
    return spec.model_copy(update={"files": ordered, "other_forms": other_forms}), details


def _forms(bundle: Bundle[FlexibleManifest], precision: str) -> Iterator[Bundle[FlexibleManifest]]:
    """Yield the bundle and, if ONNX Runtime has graphs of its own, a bundle in which it runs those of other engines."""
    yield bundle
    parts = bundle.manifest.parts
    if any(precision in files for part in parts.values() for files in part.other_forms.values()):
        shared = {name: part.model_copy(update={"other_forms": {}}) for name, part in parts.items()}
        yield Bundle(bundle.path, bundle.manifest.model_copy(update={"parts": shared}))


def _conversions(
    network: FrameFlexible, preprocess: onnx.ModelProto, model: onnx.ModelProto, count: int, job: ExportJob
) -> Iterator[Conversion]:
    """Yield the graph of a frame count in each precision; fp32 comes last, so that the caller may modify it."""
    from .precision.activation_ranges import activation_ranges
    from .precision.recipes import conversions
    from .verify.tolerances import all_check_clips

    measure = partial(activation_ranges, preprocess, model, count, job.folder, sampling=network.sampling)
    precisions = sorted(job.options.precisions, key=lambda name: name == _FP32)
    return conversions(model, measure, precisions, job.calibration, all_check_clips, job.progress)


def _counts(network: FrameFlexible, options: ExportOptions) -> tuple[int, ...]:
    return tuple(sorted(network.default_counts if options.frames is None else options.frames))


def _published_per_frame(network: FrameFlexible, counts: tuple[int, ...]) -> float | None:
    """Return the cost per frame stated by a network's authors; None for several counts, whose costs may differ."""
    published = network.published_gmacs(counts[0])
    return None if published is None or len(counts) > 1 else published / counts[0]


EXPORTER = FrameCountExporter()
