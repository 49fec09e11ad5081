"""Scripted engine and readers, for tests of the code that calls them."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from vbench.errors import FrameError
from vbench.runtime.bundle.manifest import FrameExitManifest
from vbench.runtime.engines.base import Engine, Handle
from vbench.runtime.engines.numpy_memory import NumpyMemory
from vbench.runtime.inputs.base import ReadCost
from vbench.runtime.networks.frameexit import FrameExitProgram
from vbench.runtime.policies.base import Policy
from vbench.runtime.scheduler.active_clip import Clock
from vbench.runtime.scheduler.options import StreamOptions
from vbench.runtime.scheduler.results import ClipResult
from vbench.runtime.scheduler.stream import ClipStream

HEADS = ("gates", "classifiers")


class ScriptedEngine(NumpyMemory):
    """Ends clip number n (encoded in its pixels) at step ``exits[n]`` and checks its inputs.

    The state holds the clip's number plus one at the temporal position of every frame seen, so the next gate detects
    a mix-up of slots, of the two states or of the frame order.
    """

    name = "scripted"

    def __init__(self, manifest: FrameExitManifest, exits: Sequence[int], gate_value: float | None = None) -> None:
        self.order = manifest.frame_order
        self.classes = manifest.classes
        self.exits = exits
        self.gate_value = gate_value  # value of every gate; overrides ``exits``
        self.calls: list[tuple[str, int]] = []  # part and number of rows evaluated

    def describe(self) -> dict[str, str]:
        return {}

    def run(self, part: str, *inputs: Handle, out: Handle | None = None) -> Handle:
        evaluated = np.count_nonzero(inputs[-1]) if part in HEADS else len(inputs[0])
        self.calls.append((part, int(evaluated)))
        output = np.stack([self.row(part, *rows) for rows in zip(*inputs)]).astype(np.float32)
        if out is None:
            return output
        assert out.shape == output.shape
        assert not any(np.shares_memory(out, given) for given in inputs)
        out[...] = output
        return out

    def row(self, part: str, *inputs: np.ndarray) -> np.ndarray:
        if part == "backbone":
            features = np.zeros(24)
            features[int(inputs[0][1, 0, 0])] = inputs[0][0, 0, 0]
            return features
        if part == "accumulator":
            return np.maximum(*inputs)
        step = int(inputs[-1][0])
        if step == 0:
            return np.full(1 if part == "gates" else self.classes, np.nan)  # must not be read
        clip = self.clip(inputs[0], step)
        if part == "gates":
            assert self.clip(inputs[1], step - 1) == clip, "state and previous state, in that order"
            return np.array([self.gate_value or (0.75 if self.exits[clip] == step else 0.25)])
        return self.logits(clip, step)

    def logits(self, clip: int, step: int) -> np.ndarray:
        if step == 1 and self.exits[clip] > 1:
            return np.zeros(self.classes)
        return np.array([100.0 + clip, step] + (self.classes - 2) * [0.0])

    def clip(self, state: np.ndarray, step: int) -> int:
        """Return the number of the clip that this state belongs to; it must be the state after ``step`` steps."""
        clip = int(state.max()) - 1
        expected = np.zeros(len(state))
        expected[list(self.order[:step])] = clip + 1
        np.testing.assert_array_equal(state, expected)
        return clip


@dataclass
class ScriptedReader:
    """Yields pixels that encode clip number ``clip``; reading the step ``broken`` raises ``error``."""

    manifest: FrameExitManifest
    clip: int
    broken: int | None = None
    error: Exception = field(default_factory=lambda: FrameError("scripted failure"))
    cost: ReadCost = field(default_factory=ReadCost)
    steps: list[int] = field(default_factory=list)
    closed: int = 0

    def read(self, step: int, out: Handle | None = None) -> Handle:
        assert not self.closed
        self.steps.append(step)
        self.cost.frames_read += 1
        if step == self.broken:
            raise self.error
        size = self.manifest.preprocessing.input_size
        pixels = np.zeros((1, 3, size, size), np.float32)
        pixels[0, 0], pixels[0, 1] = self.clip + 1, self.manifest.frame_order[step - 1]
        if out is None:
            return pixels
        out[...] = pixels
        return out

    def close(self) -> None:
        self.closed += 1


def stream(
    engine: Engine,
    manifest: FrameExitManifest,
    policy: Policy,
    clips: Iterable[object],
    options: StreamOptions,
    clock: Clock = time.perf_counter,
) -> Generator[ClipResult, None, None]:
    """Run ``clips``, given as functions that open a reader."""
    with closing(open_stream(engine, manifest, policy, options, clips, clock)) as running:
        running.finish()
        yield from running.results()


def open_stream(
    engine: Engine,
    manifest: FrameExitManifest,
    policy: Policy,
    options: StreamOptions,
    clips: Iterable[object] = (),
    clock: Clock = time.perf_counter,
) -> ClipStream:
    """Return a stream whose clips are functions that open a reader."""
    program = FrameExitProgram(engine, manifest, policy, options)
    return ClipStream(program, lambda open_reader: open_reader(), options, clips, clock)  # type: ignore[operator]


def macs(manifest: FrameExitManifest, calls: Mapping[str, int]) -> int:
    """Return the total MACs of these parts, each called the given number of times."""
    return sum(manifest.parts[part].macs * count for part, count in calls.items())
