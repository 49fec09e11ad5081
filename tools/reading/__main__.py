"""``python -m tools.reading``: speed from in-memory pixels, JPEG folders and H.264 files, against another checkout.

The golden FrameExit ResNet-50 runs at full size with eight slots in flight. Every contender (a checkout with a number
of engine and reader threads) has its own process; they take turns, in an order that changes, so that the machine's load
affects all of them. The bundle is exported by each checkout itself, and kept in the work folder with the clips.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.golden.make_checkpoint import state_dict
from tools.reading.data import SOURCES, clip_paths, write_clips, write_pixels
from tools.reading.report import Turns, report
from vbench.runtime.bundle.bundle import open_bundle
from vbench.runtime.engines.base import EngineOptions, load_engine
from vbench.runtime.telemetry.load import LoadMonitor, load_text

ROOT = Path(__file__).parents[2]
_PRECISIONS = "fp32,int8"


@dataclass(frozen=True)
class Contender:
    """A checkout and its numbers of threads; 0 and None: its defaults."""

    checkout: Path
    threads: int = 0
    workers: int | None = None

    def __str__(self) -> str:
        threads = f"{self.threads or 'default'} engine, {self.workers or 'default'} reader threads"
        return f"{self.checkout.name}, {threads}" if self.checkout != ROOT else threads


def main() -> None:
    """Prepare checkpoint, clips and bundles, measure, and print the table."""
    arguments = _arguments()
    work = arguments.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    write_clips(work, arguments.clips)
    contenders = [Contender(ROOT, *numbers) for numbers in product(arguments.threads, arguments.workers)]
    contenders += [Contender(arguments.against.absolute())] if arguments.against else []
    bundles = {checkout: _export(checkout, work) for checkout in {each.checkout: None for each in contenders}}
    engine = load_engine("ort", open_bundle(bundles[ROOT]), EngineOptions(parts=frozenset({"preprocess"})))
    write_pixels(work, arguments.clips, engine)
    task = {"engine": arguments.engine, "precision": arguments.precision, "clips": clip_paths(work, arguments.clips)}
    with ExitStack() as stack, LoadMonitor() as load:
        workers = [
            stack.enter_context(_worker(each, {**task, "bundle": str(bundles[each.checkout])})) for each in contenders
        ]
        turns = measure(workers, [str(each) for each in contenders], arguments.repetitions)
    print(report(turns, arguments.engine, arguments.precision, load_text(load.record())))


def measure(workers: Sequence[subprocess.Popen[str]], names: Sequence[str], repetitions: int) -> Turns:
    """Let every contender run every source once as a warm-up and then ``repetitions`` times."""
    turns: Turns = {(source, name): [] for source in SOURCES for name in names}
    for repetition in range(repetitions + 1):
        for source in SOURCES:
            pairs = list(zip(names, workers, strict=True))
            for name, worker in pairs if repetition % 2 else pairs[::-1]:
                turn = _ask(worker, source)
                if repetition:
                    turns[source, name].append(turn)
        print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return turns


@contextmanager
def _worker(contender: Contender, task: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    task |= {"threads": contender.threads, "workers": contender.workers}
    command = [sys.executable, str(Path(__file__).with_name("worker.py"))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment(contender.checkout), text=True
    ) as worker:
        _ask(worker, json.dumps(task))
        yield worker


def _ask(worker: subprocess.Popen[str], line: str) -> Any:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(line + "\n")
    worker.stdin.flush()
    reply = worker.stdout.readline()
    if not reply:
        sys.exit("a contender failed; its error is above")
    return json.loads(reply)


def _export(checkout: Path, work: Path) -> Path:
    """Return the bundle of the golden ResNet-50 that a checkout exports, calibrated with the videos."""
    checkpoint, out = work / "frameexit_r50.pth", work / f"bundle_{_commit(checkout)}"
    if not checkpoint.exists():
        torch.save({key: torch.from_numpy(np.asarray(value)) for key, value in state_dict(0).items()}, checkpoint)
    if not out.exists():
        calibrate = ["--calibrate", "folder", "--calibrate-data", str(work / "h264")]
        command = [*("export", str(checkpoint), "-o", str(out), "--precision", _PRECISIONS), *calibrate]
        subprocess.run([sys.executable, "-m", "vbench", *command], env=_environment(checkout), check=True)
    return out


def _commit(checkout: Path) -> str:
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _environment(checkout: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(checkout / ".mypy")}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="another checkout of vbench")
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--threads", type=_numbers, default=[0], metavar="N,...", help="engine threads; 0: default")
    parser.add_argument("--workers", type=_numbers, default=[None], metavar="N,...", help="reader threads")
    parser.add_argument("--clips", type=int, default=40, help="clips in a turn")
    parser.add_argument("--repetitions", type=int, default=7, help="turns of each contender and source")
    parser.add_argument("--work", type=Path, default=Path("reading"), help="folder for clips and bundles")
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    main()
