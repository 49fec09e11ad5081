"""Slot-indexed buffers of an engine, and one tick over them: backbone, accumulator, gates, classifiers.

Pixels, features, states, gate values and logits of all slots lie in one tensor each, so that a batch is a view and
parts are chained without a copy. States are kept twice, before and after the tick, because a gate looks at both. Gates
and classifiers run for the slots and steps that need them and for no others; neighbouring slots at the same step share
a call. Per tick, one tensor of gate values comes back to the host, and logits only of clips that end (or whose policy
looks at them).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import cast

import numpy as np
from numpy.typing import NDArray

from .engine import Engine, Handle
from .manifest import FrameExitManifest
from .policy import Evidence, Policy
from .prediction import certainty
from .schedule import Move

Steps = Mapping[int, int]  # the step that each slot is at


@dataclass(frozen=True)
class Verdict:
    """What a step came to.

    Attributes:
        ends: the clip has its answer, which ``logits`` then are.
        gate: value of the step's gate, where it ran.
        logits: float32 ``[classes]``, where the classifier ran.
        score: gate value, or confidence where there is no gate; None at the last step, which asks nothing.
        macs: multiply-accumulates of the parts that ran for this row.
    """

    ends: bool
    gate: float | None
    logits: NDArray[np.float32] | None
    score: float | None
    macs: int


@dataclass(frozen=True)
class Tick:
    """Verdicts by slot (None for a row that nobody asked about), the time it took, and what idle rows cost."""

    verdicts: list[Verdict | None]
    backbone_s: float
    head_s: float
    idle_macs: int


class Slots:
    """The memory and the arithmetic of ``count`` slots."""

    def __init__(
        self, engine: Engine, manifest: FrameExitManifest, policy: Policy, count: int, clock: Callable[[], float]
    ) -> None:
        size = manifest.preprocessing.input_size
        self._engine, self._manifest, self._policy, self._clock = engine, manifest, policy, clock
        self._pixels = engine.zeros((count, 3, size, size))
        self._features, self._state, self._previous = (engine.zeros((count, *manifest.state_shape)) for _ in range(3))
        self._start = engine.zeros((1, *manifest.state_shape))
        self._gates = engine.zeros((count, 1))
        self._logits = engine.zeros((count, manifest.classes))
        self._names = [""] * count
        self._labels: list[tuple[int, ...]] = [()] * count
        self._row_macs = manifest.parts["backbone"].macs + manifest.parts["accumulator"].macs

    def pixels(self, slot: int) -> Handle:
        """Return the row ``[1, 3, h, w]`` that the next tick takes as this slot's frame."""
        return self._row(self._pixels, slot)

    def begin(self, slot: int, name: str) -> None:
        """Forget what was in this slot: a clip begins, of this name."""
        self._names[slot], self._labels[slot] = name, ()
        self._engine.copy(self._start, self._row(self._state, slot))

    def move(self, move: Move, *, pixels: bool) -> None:
        """Let a clip change its slot, with its pixels if they are there already."""
        self._names[move.target], self._labels[move.target] = self._names[move.source], self._labels[move.source]
        for buffer in (self._state, self._pixels) if pixels else (self._state,):
            self._engine.copy(self._row(buffer, move.source), self._row(buffer, move.target))

    def tick(self, steps: Sequence[int | None]) -> Tick:
        """Compute one step of the slots 0 to ``len(steps)``, each at its step (1-based); None: computed, not judged."""
        begin = self._clock()
        rows = len(steps)
        pixels, features = self._rows(self._pixels, 0, rows), self._rows(self._features, 0, rows)
        self._engine.run("backbone", pixels, out=features)
        middle = self._clock()
        self._previous, self._state = self._state, self._previous
        previous, state = self._rows(self._previous, 0, rows), self._rows(self._state, 0, rows)
        self._engine.run("accumulator", features, previous, out=state)
        verdicts = self._judge({slot: step for slot, step in enumerate(steps) if step is not None})
        idle_macs = self._row_macs * steps.count(None)
        return Tick([verdicts.get(slot) for slot in range(rows)], middle - begin, self._clock() - middle, idle_macs)

    def _judge(self, steps: Steps) -> dict[int, Verdict]:
        last = self._manifest.frames
        gates = self._gate_values(
            {slot: step for slot, step in steps.items() if 1 < step < last and self._policy.needs_gate(step)}
        )
        logits = self._logits_at(
            {slot: step for slot, step in steps.items() if step == last or self._policy.needs_logits(step)}
        )
        evidence = {
            slot: self._evidence(slot, step, gates.get(slot), logits.get(slot))
            for slot, step in steps.items()
            if step < last
        }
        ending = {slot: step for slot, step in steps.items() if step == last or self._policy.exits(evidence[slot])}
        logits |= self._logits_at({slot: step for slot, step in ending.items() if slot not in logits})
        return {
            slot: Verdict(
                ends=slot in ending,
                gate=gates.get(slot),
                logits=logits.get(slot),
                score=_score(evidence[slot]) if step < last else None,
                macs=self._macs(step, gated=slot in gates, classified=slot in logits),
            )
            for slot, step in steps.items()
        }

    def _evidence(self, slot: int, step: int, gate: float | None, logits: NDArray[np.float32] | None) -> Evidence:
        if logits is None:
            return Evidence(step, gate, video=self._names[slot])
        confidence, entropy = certainty(logits)
        self._labels[slot] += (int(logits.argmax()),)
        return Evidence(step, gate, confidence, entropy, self._labels[slot], self._names[slot])

    def _gate_values(self, steps: Steps) -> dict[int, float]:
        for start, stop, step in _neighbours(steps):
            state, previous = (self._rows(buffer, start, stop) for buffer in (self._state, self._previous))
            self._engine.run(_gate(step), state, previous, out=self._rows(self._gates, start, stop))
        values = self._read(self._gates, steps)
        return {slot: float(values[slot, 0]) for slot in steps}

    def _logits_at(self, steps: Steps) -> dict[int, NDArray[np.float32]]:
        for start, stop, step in _neighbours(steps):
            out = self._rows(self._logits, start, stop)
            self._engine.run(_classifier(step), self._rows(self._state, start, stop), out=out)
        values = self._read(self._logits, steps)
        return {slot: values[slot].copy() for slot in steps}

    def _read(self, buffer: Handle, steps: Steps) -> NDArray[np.float32]:
        """Bring the rows up to the last one of ``steps`` to the host, in one piece."""
        values = self._engine.get(self._rows(buffer, 0, max(steps, default=-1) + 1))
        return cast(NDArray[np.float32], values)

    def _rows(self, buffer: Handle, start: int, stop: int) -> Handle:
        return self._engine.rows(buffer, start, stop)

    def _row(self, buffer: Handle, slot: int) -> Handle:
        return self._rows(buffer, slot, slot + 1)

    def _macs(self, step: int, *, gated: bool, classified: bool) -> int:
        parts = self._manifest.parts
        gate = parts[_gate(step)].macs if gated else 0
        return self._row_macs + gate + (parts[_classifier(step)].macs if classified else 0)


def _neighbours(steps: Steps) -> Iterator[tuple[int, int, int]]:
    """Yield start, stop and step of every run of neighbouring slots that are at the same step."""
    ordered = sorted(steps.items())
    for (step, _), run in groupby(enumerate(ordered), key=lambda item: (item[1][1], item[1][0] - item[0])):
        slots = [slot for _, (slot, _) in run]
        yield slots[0], slots[-1] + 1, step


def _score(evidence: Evidence) -> float | None:
    found = evidence.confidence if evidence.gate is None else evidence.gate
    return None if found is None else float(found)


def _gate(step: int) -> str:
    return f"gate_{step:02d}"


def _classifier(step: int) -> str:
    return f"classifier_{step:02d}"
