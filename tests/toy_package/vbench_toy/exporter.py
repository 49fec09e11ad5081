"""Exporter of the toy family: one graph per classifier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vbench.export.family import ExportFamily, ExportJob
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.bundle.manifest import Check, Difference

from .runtime import STEPS, ToyManifest

if TYPE_CHECKING:
    from vbench.export.options import ExportOptions

    from .network import ToyNetwork


class ToyExporter(ExportFamily["ToyNetwork", ToyManifest]):
    """Writes fp32 graphs and verifies them with one clip."""

    def check_options(self, network: ToyNetwork, checkpoint: Path, options: ExportOptions) -> None:
        pass

    def write(self, network: ToyNetwork, job: ExportJob) -> ToyManifest:
        from vbench.export.graph.torch_to_onnx import trace_parts
        from vbench.export.graph.write import part_spec, write_graph
        from vbench.export.preprocess.select import preprocess_graph_for

        parts = network.parts_by_name(("preprocess", *STEPS))
        graphs = trace_parts([parts[name] for name in STEPS], job.options.opset)
        graphs["preprocess"] = preprocess_graph_for(network.preprocessing, job.options.opset)
        specs = {
            name: part_spec(part, graphs[name], {"fp32": write_graph(graphs[name], job.folder, "fp32")})
            for name, part in parts.items()
        }
        return ToyManifest(**job.common, parts=specs, weights={}, precision_details={}, default_confidence=0.6)

    def verify(self, network: ToyNetwork, bundle: Bundle[ToyManifest], job: ExportJob) -> dict[str, Check]:
        from vbench.export.verify.tolerances import check_clips, difference, load_candidate, run_both
        from vbench.runtime.engines.pytorch.engine import TorchEngine

        parts = network.parts_by_name(("preprocess", *STEPS))
        reference = TorchEngine({name: part.module for name, part in parts.items()}, threads=0)
        engine = load_candidate(bundle, "fp32")
        differences: dict[str, Difference] = {}
        pixels, actual = run_both(reference, engine, "preprocess", check_clips(1, 40, 50)[0])
        differences["preprocess"] = difference(pixels, actual)
        for name in STEPS:
            differences[name] = difference(*run_both(reference, engine, name, pixels))
        return {
            "fp32": Check(
                engine=engine.name,
                max_error=job.options.max_error,
                parts=differences,
                clips=1,
                exit_steps_changed=0,
                classes_changed=0,
                logits=differences["large"],
            )
        }


EXPORTER = ToyExporter()
