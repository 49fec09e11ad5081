"""The export of frame-count networks: one part per frame count, its manifest, its check, its served model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..runtime.bundle.bundle import Bundle
from ..runtime.bundle.manifest import Check, FlexibleManifest, PartSpec, frames_part
from ..runtime.engines.pytorch.engine import TorchEngine
from .family import ExportFamily, ExportJob, ServingSpec, ServingText

if TYPE_CHECKING:
    from ..models.ffn.base import FrameFlexible
    from .graph.shared_weights import WeightsFile
    from .options import ExportOptions, Layout

_PRECISION = "fp32"
_LAYOUT: Layout = "folded"


class FrameCountExporter(ExportFamily["FrameFlexible", FlexibleManifest]):
    """One graph per frame count, and one file with the weights that they have in common."""

    def check_options(self, network: FrameFlexible, checkpoint: Path, options: ExportOptions) -> None:
        """Raise UsageError unless the network can be exported as asked."""
        if options.precisions != (_PRECISION,):
            asked = ", ".join(options.precisions)
            raise UsageError(
                f"{checkpoint}: {network.name} is exported in {_PRECISION} only, not in {asked}", "leave it out"
            )
        if options.dataset is not None:
            raise UsageError(
                f"{checkpoint}: {network.name} has no default that depends on a data set, such as "
                f"{options.dataset.name}",
                "leave --dataset out",
            )
        counts = _counts(network, options)
        if not counts:
            raise UsageError(
                f"{checkpoint}: {network.name} does not say how many frames it was trained with",
                "give the frame counts to run it at: --frames 8",
            )
        network.parts(counts)

    def write(self, network: FrameFlexible, job: ExportJob) -> FlexibleManifest:
        """Write the parts of every frame count, and one file with what they have in common."""
        from .graph.shared_weights import WEIGHTS_FILE, WeightsFile
        from .graph.write import file_spec, part_spec, write_graph
        from .preprocess.select import graph_of

        options, folder = job.options, job.folder
        counts, layout = _counts(network, options), options.layout or _LAYOUT
        preprocess = network.preprocess()
        graph = graph_of(network.preprocessing, options.opset)
        specs = {preprocess.name: part_spec(preprocess, graph, {_PRECISION: write_graph(graph, folder, _PRECISION)})}
        weights = WeightsFile(folder / _PRECISION / WEIGHTS_FILE)
        # One count at a time: a traced network weighs twice what its weights do.
        for count in counts:
            job.progress(f"tracing the network at {count} frames")
            specs |= _written(network, count, folder, weights, options.opset, layout)
        return FlexibleManifest(
            **job.common,
            parts=specs,
            weights={_PRECISION: file_spec(weights.path, folder)},
            precision_details={},
            frame_counts=counts,
            branches=tuple(network.branch(count) for count in counts),
            sampling=network.sampling,
            layout=layout,
        )

    def verify(self, network: FrameFlexible, bundle: Bundle[FlexibleManifest], job: ExportJob) -> dict[str, Check]:
        """Compare every part with PyTorch; see ``verify_counts``."""
        from .verify.tolerances import candidate
        from .verify.verify import verify_counts

        job.progress("checking every part against PyTorch")
        parts = network.parts_by_name(bundle.manifest.parts)
        reference = TorchEngine({name: part.module for name, part in parts.items()}, threads=0)
        engine = candidate(bundle, _PRECISION)
        return {_PRECISION: verify_counts(bundle.manifest, reference, engine, job.options.max_error)}

    def serving(self, manifest: FlexibleManifest) -> ServingSpec:
        """Return how Triton serves it: clips at the same count share a call."""
        counts = ", ".join(map(str, manifest.frame_counts))
        return ServingSpec(
            template=Path(__file__).parent / "triton" / "bls_flexible.py",
            frames=-1,
            most_frames=manifest.frame_counts[-1],
            batched=frozenset(map(frames_part, manifest.frame_counts)),
            settings={
                "frame_counts": manifest.frame_counts,
                "sampling": manifest.sampling,
                "views": manifest.views,
            },
            text=ServingText(
                parameters=f'{{"frames": "{manifest.frame_counts[0]}"}}',
                frames="frames of a video in the order of time, of any size and number, as they were decoded; as many "
                f"as the frame count are taken as they are, others are sampled ({manifest.sampling}).",
                asked=f"A request may bring parameters, in texts: `frames` (one of {counts}, or several joined by "
                "commas) and `cascade` (run at the smallest count first, and at the next as long as the confidence is "
                "not above this).",
                together="Clips that are seen at the same frame count share its calls; each of a cascade leaves on its "
                "own.",
                shared="the part of a count",
            ),
        )


def _written(
    network: FrameFlexible, count: int, folder: Path, weights: WeightsFile, opset: int, layout: Layout
) -> dict[str, PartSpec]:
    from .graph.fold_batch_norm import with_separate_norms, without_batch_norms
    from .graph.torch_to_onnx import trace_parts
    from .graph.write import part_spec, write_graph

    (part,) = network.parts([count])
    prepare = {"folded": without_batch_norms, "shared": with_separate_norms}[layout]
    model = trace_parts([part], opset, prepare)[part.name]
    spec = part_spec(part, model, {})
    weights.take_from(model)
    return {part.name: spec.model_copy(update={"files": {_PRECISION: write_graph(model, folder, _PRECISION)}})}


def _counts(network: FrameFlexible, options: ExportOptions) -> tuple[int, ...]:
    return tuple(sorted(network.branches if options.frames is None else options.frames))


EXPORTER = FrameCountExporter()
