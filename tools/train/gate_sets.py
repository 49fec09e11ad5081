"""Stage 2 of the demo's FrameExit: record videos of their own split, and fit gate sets as ``vbench fit-gates`` does."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from vbench.bench.datasets.options import DataOptions
from vbench.bench.records.run_folder import RunConfig
from vbench.bench.run.run import start_run
from vbench.export.exporter import ExportOptions, export_checkpoint
from vbench.fit.fit_gates import FitOptions, fit_checkpoint
from vbench.fit.packed import pack_gate_sets
from vbench.runtime.engines.options import EngineOptions


def fit_packed_sets(checkpoint: Path, input_size: int, videos: int, options: FitOptions, out: Path) -> None:
    """Fit gate sets on the first videos of the data set ``demo_gates``, and write them packed to the folder ``out``.

    Args:
        checkpoint: trunk and classifiers; its gates are ignored.
        input_size: side of the network's input in pixels.
        videos: number of videos to record.
    """
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        bundle = export_checkpoint(checkpoint, folder / "bundle", ExportOptions(input_size=input_size))
        data, engine = DataOptions("demo_gates", limit=videos), EngineOptions(threads=options.threads)
        run = start_run(RunConfig(str(bundle.path), engine, data, trace=True, features=True), folder / "run", "").path
        print(f"recorded {videos} videos", flush=True)
        for fitted in fit_checkpoint(checkpoint, run, folder / "gates", options):
            print(f"{fitted.name}: {fitted.record['held_out']}", flush=True)
        pack_gate_sets(folder / "gates", out)
