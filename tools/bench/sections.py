"""The tables of docs/benchmarks.md, one function each; each prints Markdown and measures its own baseline."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import perf_counter, sleep

import numpy as np
import torch
from numpy.typing import NDArray

from vbench.runtime.inputs.base import Clip
from vbench.runtime.networks.base import Network
from vbench.runtime.policies.gates import FrameExitPolicy
from vbench.runtime.scheduler.options import LATENCY, SPECULATIVE, THROUGHPUT, StreamOptions
from vbench.runtime.scheduler.results import ClipResult

from .measure import Contender, Sample, interleave, ratios, spread, table
from .original import original

NEVER = FrameExitPolicy(1.0, (1.0,))  # no confidence exceeds one, so all frames are read
_TIMES = ("decode_s", "preprocess_s", "wait_s", "engine_s", "scheduling_s")
BATCHED = {
    **{name: StreamOptions(name, slots=8, prefetch=1) for name in ("lockstep", "compact", "inflight")},
    "inflight, speculative": StreamOptions("inflight", slots=8, prefetch=1, sync=SPECULATIVE),
}


def run(network: Network, clips: Sequence[Clip], options: StreamOptions) -> Contender:
    return lambda: list(network.stream(clips, options))


def same_answers(contenders: Sequence[Contender]) -> list[int]:
    """Return the exit steps if all contenders agree on class and exit step of every clip, otherwise exit."""
    answers = [[_answer(result) for result in sorted(contender(), key=lambda r: r.clip)] for contender in contenders]
    if any(other != answers[0] for other in answers):
        raise SystemExit("the contenders disagree on classes or exit steps: nothing was measured")
    return [step for _, step in answers[0]]


def _answer(result: ClipResult) -> tuple[int, int]:
    if result.prediction is None:
        raise SystemExit(f"clip {result.clip}: {result.error}")
    return result.prediction.label, result.prediction.exit_step


def efficiency(title: str, network: Network, clips: Sequence[Clip], repetitions: int) -> None:
    """Print the actual speed-up over reading all ten frames, relative to the speed-up expected from the MACs."""
    every = network.with_policy(NEVER)
    contenders = {
        "sequential, all frames": run(every, clips, LATENCY),
        "sequential": run(network, clips, LATENCY),
        "batched, all frames": run(every, clips, THROUGHPUT),
        **{name: run(network, clips, options) for name, options in BATCHED.items()},
    }
    samples = interleave(contenders, repetitions)
    rows = []
    for name in ("sequential", *BATCHED):
        base = samples["sequential, all frames" if name == "sequential" else "batched, all frames"]
        rows.append([name, *_efficiency_cells(base, samples[name], len(clips))])
    print(f"## {title}\n")
    print(
        table(
            ("schedule", "videos/s", "speed-up over all frames", "GMACs ratio", "efficiency",
             "scheduling / engine", "unused frames per video"), rows))  # fmt: skip


def _efficiency_cells(base: list[Sample], found: list[Sample], clips: int) -> list[str]:
    speed_ups = ratios(base, found)
    promised = base[0].macs / found[0].macs
    efficiencies = [speed_up / promised for speed_up in speed_ups]
    overhead = [100 * sample.scheduling_s / sample.engine_s for sample in found]
    unused = statistics.median(sample.read - sample.used for sample in found) / clips
    return [
        spread([clips / sample.wall_s for sample in found], 2),
        spread(speed_ups, 2),
        f"{promised:.2f}",
        f"**{statistics.median(efficiencies):.3f}** [{min(efficiencies):.3f} .. {max(efficiencies):.3f}]",
        f"{statistics.median(overhead):.2f} %",
        f"{unused:.2f}",
    ]


def against_the_original(
    title: str,
    reference: Network,
    contenders: dict[str, Contender],
    clips: Sequence[Path] | Sequence[NDArray[np.float32]],
    repetitions: int,
) -> None:
    """Print the time per video versus PyTorch as in the original."""
    everything = {"PyTorch as the original": partial(original, reference, clips), **contenders}
    samples = interleave(everything, repetitions)
    base = samples["PyTorch as the original"]
    rows = [
        [name, spread([1e3 * one.wall_s / len(clips) for one in found]), f"**{_median_ratio(base, found):.2f}x**"]
        for name, found in samples.items()
    ]
    print(f"### {title}\n")
    print(table(("", "ms per video, median [min .. max]", "against the original"), rows))


def decoding(title: str, contenders: dict[str, Contender], clips: int, repetitions: int) -> None:
    """Print the time breakdown for video files, and the number of frames decoded."""
    samples = interleave(contenders, repetitions)
    base = next(iter(samples.values()))
    rows = []
    for name, found in samples.items():
        one = found[len(found) // 2]
        rows.append([
            name, spread([1e3 * s.wall_s / clips for s in found]), f"**{_median_ratio(base, found):.2f}x**",
            *(f"{count / clips:.1f}" for count in (one.used, one.read, one.decoded, max(one.decoded - one.read, 0))),
            *(_milliseconds(found, name, clips) for name in _TIMES),
        ])  # fmt: skip
    print(f"### {title}\n")
    print(
        table(
            ("", "ms per video", "against the first line", "frames used", "requested", "decoded", "forced", "decode ms",
             "preprocess ms", "engine waits ms", "engine ms", "scheduling ms"), rows))  # fmt: skip


def _milliseconds(samples: list[Sample], name: str, clips: int) -> str:
    return f"{1e3 * statistics.median(getattr(sample, name) for sample in samples) / clips:.1f}"


def _median_ratio(base: list[Sample], found: list[Sample]) -> float:
    return statistics.median(ratios(base, found))


def changed(exact: Network, other: Network, clips: Sequence[Clip]) -> str:
    """Return the number of classes and exit steps that another precision changes, as a sentence."""
    one, two = ([_answer(result) for result in network.stream(clips, LATENCY)] for network in (exact, other))
    labels = sum(a[0] != b[0] for a, b in zip(one, two))
    steps = sum(a[1] != b[1] for a, b in zip(one, two))
    return f"In int8 {labels} of {len(clips)} clips change class and {steps} their exit step."


def share_of_peak(name: str, network: Network, clips: Sequence[Clip]) -> None:
    """Print the throughput of the backbone and that of PyTorch's float32 matrix product on the same cores."""
    peak = max(_matmul_rate() for _ in range(20))
    found = list(network.with_policy(NEVER).stream(clips, THROUGHPUT))
    frames = sum(result.prediction.frames_used for result in found if result.prediction)
    macs = frames * network.bundle.manifest.parts["backbone"].macs
    rate = 2 * macs / sum(result.cost.backbone_s for result in found) / 1e9
    print(
        f"The {name} backbone computes {rate:.0f} GOP/s in batches of eight, a float32 matrix product of 2048 x 2048 "
        f"{peak:.0f} GFLOP/s on the same cores: {100 * rate / peak:.0f} %.\n"
    )


def _matmul_rate(size: int = 2048) -> float:
    matrix = torch.ones(size, size)
    sleep(0.1)  # until other thread pools have stopped spinning
    begin = perf_counter()
    matrix @ matrix
    return 2e-9 * size**3 / (perf_counter() - begin)
