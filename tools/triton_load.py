"""``python -m tools.triton_load``: throughput and latency of in-flight batching and of lockstep on a Triton server.

The demo's FrameExit is packaged with both schedules and served by one server on this machine's CPU, with its parts in
the Python backend. Clients on the same machine send one clip per request. The schedules take turns, and their order
changes from repetition to repetition, so that a change of the machine's load affects both.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.replay import export_demo
from tests.triton_server import Asked, ServerError, TritonServer, ask, environment_folder, is_environment, serving
from vbench.bench.datasets.synthetic.digits import digit_video
from vbench.export.triton.options import PackageOptions
from vbench.export.triton.repository import write_repository
from vbench.export.triton.served.settings import Scheduling
from vbench.runtime.bundle.bundle import open_bundle
from vbench.runtime.policies.gates import FrameExitPolicy
from vbench.runtime.telemetry.environment import machine
from vbench.runtime.telemetry.load import LoadMonitor, load_text

SCHEDULES: tuple[Scheduling, ...] = ("inflight", "lockstep")
_POLICY = FrameExitPolicy(0.95)
_WARM_UP = 32
_CLIPS = 200


class Turn(NamedTuple):
    """One measurement: requests per second, and the latency of each request in milliseconds."""

    throughput: float
    latencies_ms: tuple[float, ...]

    @property
    def median_ms(self) -> float:
        return statistics.median(self.latencies_ms)

    @property
    def p95_ms(self) -> float:
        return float(np.percentile(self.latencies_ms, 95))


Turns = dict[tuple[int, Scheduling], list[Turn]]


def main() -> int:
    arguments = _arguments()
    if not is_environment(environment_folder()):
        print(f"there is no server at {environment_folder()}; run: python -m tools.triton_env", file=sys.stderr)
        return 3
    try:
        with tempfile.TemporaryDirectory() as name, _served(Path(name)) as server, LoadMonitor() as load:
            turns = measure(server, arguments.clients, arguments.repetitions, arguments.requests, Path(name))
    except ServerError as error:
        print(error, file=sys.stderr)
        return 3
    print(report(turns, arguments.requests, load_text(load.record())))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = parser.add_argument_group()
    counts = "numbers of concurrent clients, joined by commas"
    numbers.add_argument("--clients", type=_counts, default=(1, 4, 16), metavar="N,...", help=counts)
    numbers.add_argument("--repetitions", type=_count, default=5, help="turns of each schedule and number of clients")
    numbers.add_argument("--requests", type=_count, default=400, help="requests of one turn")
    return parser.parse_args()


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {number}")
    return number


def _counts(text: str) -> tuple[int, ...]:
    return tuple(_count(number) for number in text.split(","))


@contextmanager
def _served(folder: Path) -> Iterator[TritonServer]:
    """Serve the demo's FrameExit under the name of each schedule."""
    print("exporting and starting the server", file=sys.stderr, flush=True)
    models = folder / "models"
    models.mkdir()
    exported = export_demo(folder / "bundles")
    for schedule in SCHEDULES:
        shutil.copytree(exported, folder / schedule)
        options = PackageOptions(schedule=schedule, parts="python")
        made = write_repository(open_bundle(folder / schedule), folder / f"{schedule}_repository", _POLICY, options)
        for model in made.models:
            (made.path / model).rename(models / model)
    with serving(models, folder / "server.log", environment_folder()) as server:
        yield server


def measure(server: TritonServer, clients: Sequence[int], repetitions: int, requests: int, folder: Path) -> Turns:
    """Measure every schedule with every number of clients."""
    clips = [digit_video("validation", index)[None] for index in range(_CLIPS)]
    turns: Turns = {(count, schedule): [] for count in clients for schedule in SCHEDULES}
    for schedule in SCHEDULES:
        _turn(server, schedule, clips, max(clients), _WARM_UP, folder)
    for repetition in range(repetitions):
        for count in clients:
            for schedule in SCHEDULES if repetition % 2 == 0 else SCHEDULES[::-1]:
                turns[count, schedule].append(_turn(server, schedule, clips, count, requests, folder))
                print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return turns


def _turn(
    server: TritonServer,
    schedule: Scheduling,
    clips: Sequence[NDArray[np.uint8]],
    clients: int,
    requests: int,
    folder: Path,
) -> Turn:
    asked = [Asked(schedule, clips[number % len(clips)]) for number in range(requests)]
    answers = ask(server, asked, folder, clients)
    failed = [str(answer["error"]) for answer in answers if "error" in answer]
    if failed:
        raise ServerError(f"{len(failed)} of {requests} requests failed: {failed[0]}")
    times = np.array([answer["times"] for answer in answers])
    latencies = 1000 * (times[:, 1] - times[:, 0])
    return Turn(requests / float(times[:, 1].max() - times[:, 0].min()), tuple(latencies.tolist()))


def report(turns: Turns, requests: int, load: str) -> str:
    """Return the results as Markdown."""
    here, repetitions = machine(), len(next(iter(turns.values())))
    lines = [
        f"{here['processor']}, {here['cores']} cores, shared by the server, its parts and the clients; {load}. ",
        f"{repetitions} turns of {requests} requests of one clip each; median of the turns (smallest to largest).",
        "",
        "| clients | in flight, requests/s | lockstep, requests/s | ratio | in flight, ms | lockstep, ms |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for clients in dict.fromkeys(count for count, _ in turns):
        inflight, lockstep = (turns[clients, schedule] for schedule in SCHEDULES)
        ratios = [one.throughput / other.throughput for one, other in zip(inflight, lockstep, strict=True)]
        cells = [
            _spread([turn.throughput for turn in inflight], ".0f"),
            _spread([turn.throughput for turn in lockstep], ".0f"),
            _spread(ratios, ".2f"),
            *(f"{_median_of(each, 'median_ms')}, p95 {_median_of(each, 'p95_ms')}" for each in (inflight, lockstep)),
        ]
        lines.append(f"| {clients} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _spread(values: Sequence[float], form: str) -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def _median_of(turns: Sequence[Turn], name: str) -> str:
    return f"{statistics.median(getattr(turn, name) for turn in turns):.1f}"


if __name__ == "__main__":
    sys.exit(main())
