"""``just bench``: run the benchmarks and print the tables of docs/benchmarks.md.

The networks are a full-size FrameExit ResNet-50 and Frame Flexible Networks with the checkpoints of the goldens. Each
section measures its own baseline; baseline and candidates are interleaved within each repetition. Run it on an idle
machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.golden.make_clips import uint8_clip
from vbench.export.exporter import Calibration, ExportOptions, export_checkpoint
from vbench.runtime.inputs.base import Clip
from vbench.runtime.load import load
from vbench.runtime.scheduler.options import LATENCY, THROUGHPUT, StreamOptions
from vbench.runtime.telemetry.environment import machine, versions

from .flexible import flexible
from .original import original, whole_videos
from .replay import replay
from .sections import against_the_original, changed, decoding, efficiency, run, same_answers, share_of_peak
from .workload import CLIPS, CROWD, jpeg_folders, pixels, save_checkpoint, videos

_CALIBRATION_CLIPS = range(100, 116)
_WITHOUT_FRAMEEXIT = {"flexible", "replay"}
_UNHURRIED = StreamOptions("sequential", slots=1, prefetch=0)


def main() -> None:
    sections: dict[str, Callable[[Path, Path, int], None]] = {
        "efficiency": _efficiency,
        "efficiency-jpeg": _efficiency_from_jpeg,
        "original": _original,
        "decoding": _decoding,
        "flexible": _flexible,
        "replay": _replay,
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--only", choices=list(sections), action="append", help="section to run; all by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        print(_machine() + "\n")
        names = arguments.only or list(sections)
        bundle = root if set(names) <= _WITHOUT_FRAMEEXIT else _export(root)
        for name in names:
            sections[name](bundle, root / name, arguments.repetitions)


def _export(root: Path) -> Path:
    def clips(frames: int) -> Iterator[Sequence[NDArray[np.uint8]]]:
        return (uint8_clip(0, index, frames=frames) for index in _CALIBRATION_CLIPS)

    begin = time.perf_counter()
    checkpoint = save_checkpoint(root / "frameexit_r50.pth")
    options = ExportOptions(precisions=("fp32", "int8"))
    calibration = Calibration("golden clips 100 to 115", clips)
    bundle = export_checkpoint(checkpoint, root / "bundles" / "frameexit_r50", options, calibration=calibration).path
    print(f"Export of the 180 MB checkpoint in fp32 and int8, checks included: {time.perf_counter() - begin:.0f} s\n")
    return bundle


def _efficiency(bundle: Path, root: Path, repetitions: int) -> None:
    del root
    _schedules("Efficiency, decoding excluded", bundle, pixels(CROWD), repetitions)


def _efficiency_from_jpeg(bundle: Path, root: Path, repetitions: int) -> None:
    _schedules("Efficiency from JPEG folders, 256 x 320", bundle, jpeg_folders(root, CROWD), repetitions)


def _schedules(title: str, bundle: Path, clips: Sequence[Clip], repetitions: int) -> None:
    network = load(bundle)
    same_answers([run(network, clips, options) for options in (LATENCY, THROUGHPUT)])
    efficiency(f"{title}: {len(clips)} clips, {repetitions} repetitions", network, clips, repetitions)


def _original(bundle: Path, root: Path, repetitions: int) -> None:
    reference, network, int8 = load(bundle, "torch"), load(bundle), load(bundle, precision="int8")
    print(f"## Against PyTorch as the original runs it: {len(CLIPS)} clips, {repetitions} repetitions\n")
    folders = jpeg_folders(root, CLIPS)
    for title, clips in (("Network alone", pixels(CLIPS)), ("From JPEG folders, 256 x 320", folders)):
        contenders = {
            f"ONNX Runtime {precision}, {options.schedule}, {options.prefetch} ahead": run(candidate, clips, options)
            for precision, candidate in (("fp32", network), ("int8", int8))
            for options in (_UNHURRIED, replace(THROUGHPUT, prefetch=0), THROUGHPUT)
        }
        exact = [contender for name, contender in contenders.items() if "fp32" in name]
        steps = same_answers([partial(original, reference, clips), *exact])
        print(f"Exit steps {steps}. {changed(network, int8, clips)}\n")
        against_the_original(title, reference, contenders, clips, repetitions)
    for name, candidate in (("fp32", network), ("int8", int8)):
        share_of_peak(name, candidate, pixels(CLIPS))


def _decoding(bundle: Path, root: Path, repetitions: int) -> None:
    network = load(bundle)
    print(f"## From H.264 files, 10 s at 30 frames/s, 256 x 320: {len(CLIPS)} clips, {repetitions} repetitions\n")
    for interval in (250, 30):
        clips = videos(root / str(interval), interval, CLIPS)
        contenders = {
            "whole video first": partial(whole_videos, network, clips),
            "on demand, sequential": run(network, clips, _UNHURRIED),
            "on demand, sequential, one frame ahead": run(network, clips, LATENCY),
            "on demand, in flight, one frame ahead": run(network, clips, THROUGHPUT),
        }
        same_answers(list(contenders.values()))
        decoding(f"A key frame every {interval} frames", contenders, len(clips), repetitions)


def _flexible(_: Path, root: Path, repetitions: int) -> None:
    flexible(root, repetitions)


def _replay(_: Path, root: Path, repetitions: int) -> None:
    replay(root, repetitions)


def _machine() -> str:
    facts = machine()
    packages = ", ".join(f"{name} {version}" for name, version in versions().items() if name != "vbench")
    return f"{facts['processor']}, {facts['cores']} cores, {facts['system']}, Python {facts['python']}; {packages}"


if __name__ == "__main__":
    main()
