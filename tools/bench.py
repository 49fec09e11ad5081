"""``just bench``: what vbench's speed rests on, measured against PyTorch in one run.

The baseline is the original's way: batch one, PyTorch eager, all ten frames decoded and preprocessed first.
Baseline and candidate take turns within each repetition, so that a noisy machine disturbs both; medians of repetitions,
ratios of medians, and the spread are printed as the Markdown table that docs/benchmarks.md records.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from tests.golden.make_checkpoint import state_dict
from tests.golden.make_clips import float_clip, uint8_clip
from vbench.bench.machine import machine, versions
from vbench.bench.run import warm_up
from vbench.export.frameexit import ExportOptions, export_frameexit
from vbench.runtime.frames import open_frames
from vbench.runtime.network import Network, load

# Clips of the goldens whose exit steps are spread over the ten steps (mean close to the set's).
T = TypeVar("T")

CLIPS = (0, 2, 4, 5, 9, 11, 12, 15)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        bundle, export_s = _export(root)
        ort, reference = load(bundle, "ort"), load(bundle, "torch")
        steps = _same_answers(ort, reference)
        for network in (ort, reference):
            warm_up(network)
        print(_machine())
        print(f"\nExport of the 180 MB checkpoint, checks included: {export_s:.1f} s (one run)\n")
        print(f"{len(CLIPS)} clips, exit steps {steps}, {arguments.repetitions} repetitions\n")
        print("| per clip, median [min .. max] | PyTorch as the original | ONNX Runtime | ratio |\n|---|---|---|---|")
        pixels = [float_clip(0, index) for index in CLIPS]
        _row("network alone", pixels, reference.predict, ort.predict, arguments.repetitions)
        folders = [_jpeg_folder(root / "frames" / str(index), uint8_clip(0, index)) for index in CLIPS]
        eager = _all_frames_first(reference)
        _row("from JPEG folders, 256 x 320", folders, eager, ort.predict, arguments.repetitions)


def _export(root: Path) -> tuple[Path, float]:
    checkpoint = root / "frameexit_r50.pth"
    torch.save({key: torch.from_numpy(value) for key, value in state_dict(0).items()}, checkpoint)
    begin = time.perf_counter()
    bundle = export_frameexit(checkpoint, root / "bundles" / "frameexit_r50", ExportOptions())
    return bundle.path, time.perf_counter() - begin


def _same_answers(one: Network, other: Network) -> list[int]:
    steps = []
    for index in CLIPS:
        first, second = (network.predict(float_clip(0, index)) for network in (one, other))
        if (first.exit_step, first.label) != (second.exit_step, second.label):
            raise SystemExit(f"clip {index}: the engines disagree, nothing measured")
        steps.append(first.exit_step)
    return steps


def _all_frames_first(network: Network) -> Callable[[Path], object]:
    """The original's way: decode and preprocess ten frames, then start."""

    def run(folder: Path) -> object:
        frames = open_frames(folder).read(range(10))
        engine = network.engine
        pixels = [engine.get(engine.run("preprocess", engine.put(frame[None]))) for frame in frames]
        return network.predict(np.concatenate(pixels))

    return run


def _row(name: str, clips: Sequence[T], base: Callable[[T], object], ours: Callable[[T], object], count: int) -> None:
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(count):
        for run, found in zip((base, ours), times):
            begin = time.perf_counter()
            for clip in clips:
                run(clip)
            found.append(1e3 * (time.perf_counter() - begin) / len(clips))
    cells = [f"{statistics.median(t):.1f} ms [{min(t):.1f} .. {max(t):.1f}]" for t in times]
    ratio = statistics.median(times[0]) / statistics.median(times[1])
    print(f"| {name} | {cells[0]} | {cells[1]} | **{ratio:.2f}x** |")


def _jpeg_folder(folder: Path, frames: NDArray[np.uint8]) -> Path:
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames, start=1):
        Image.fromarray(frame).save(folder / f"frame_{number:04d}.jpeg", quality=95)
    return folder


def _machine() -> str:
    facts = machine()
    packages = ", ".join(f"{name} {version}" for name, version in versions().items() if name != "vbench")
    return f"{facts['processor']}, {facts['cores']} cores, {facts['system']}, Python {facts['python']}; {packages}"


if __name__ == "__main__":
    main()
