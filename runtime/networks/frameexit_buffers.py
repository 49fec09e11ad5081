"""Slot-indexed device buffers, and the FrameExit arithmetic on them: backbone, accumulator, gates, classifiers.

Each kind of value (pixels, features, states, gate values, logits) has one tensor for all slots, so a batch is a view
and parts are chained without copies. States are stored twice, as they were before and after the accumulator, because a
gate reads both. The gates of all slots take one call, whatever their steps, and so do the classifiers: a row of the
input holds the slot's step, or 0 if the slot needs no value. Gate values and requested logits are copied to the host
asynchronously, in one copy each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from ..bundle.manifest import CLASSIFIERS, FrameExitManifest, gates_part
from ..engines.base import Array, Engine, Handle
from ..scheduler.results import Logits, State
from ..scheduler.schedules import SlotMove

Steps = Mapping[int, int]  # slot -> step


class SlotBuffers:
    """Buffers and arithmetic for ``count`` slots; a tick computes slots 0 to ``rows - 1``."""

    def __init__(self, engine: Engine, manifest: FrameExitManifest, count: int, suffixes: Iterable[str]) -> None:
        self._engine = engine
        self._pixels = engine.zeros((count, *manifest.pixels_shape))
        self._states_shape = count, *manifest.state_shape
        self._features, self._state, self._previous = (engine.zeros((count, *manifest.state_shape)) for _ in range(3))
        self._start = engine.zeros((1, *manifest.state_shape))
        self._recorded: Handle | None = None
        self._gates = {suffix: engine.zeros((count, 1)) for suffix in suffixes}
        self._logits = engine.zeros((count, manifest.classes))
        # The steps for gates and those for classifiers have a tensor each: a call may be pending when the next one is
        # prepared.
        self._gate_steps, self._classifier_steps = (engine.zeros((count, 1)) for _ in range(2))

    def pixels(self, slot: int) -> Handle:
        """Return the backbone's input row for a slot, ``[1, 3, h, w]`` or ``[1, clip_frames, 3, h, w]``."""
        return self._row(self._pixels, slot)

    def begin(self, slot: int) -> None:
        """Reset the state of a slot for a new clip."""
        self._engine.copy(self._start, self._row(self._state, slot))

    def move(self, move: SlotMove, *, pixels: bool) -> None:
        """Move a clip's state to another slot, along with its pixels if ``pixels`` is true."""
        for buffer in (self._state, self._pixels) if pixels else (self._state,):
            self._engine.copy(self._row(buffer, move.source), self._row(buffer, move.target))

    def backbone(self, rows: int) -> None:
        """Compute features from pixels."""
        self._engine.run("backbone", self._rows(self._pixels, 0, rows), out=self._rows(self._features, 0, rows))

    def accumulate(self, rows: int) -> None:
        """Update the states with the features."""
        self._previous, self._state = self._state, self._previous
        previous, state = self._rows(self._previous, 0, rows), self._rows(self._state, 0, rows)
        self._engine.run("accumulator", self._rows(self._features, 0, rows), previous, out=state)

    def overflowed_features(self, slots: Iterable[int]) -> dict[int, NDArray[np.float32]]:
        """Return the features of those ``slots`` whose features are not all finite; {} unless they are in host memory.

        OpenVINO's maximum drops a NaN, so the frame would silently be lost. On a GPU, a NaN stays in the state and
        shows up in the gates and logits, so fetching the features is not worth the cost.
        """
        features = self._features
        if not isinstance(features, np.ndarray) or np.isfinite(features).all():
            return {}
        return {slot: features[slot] for slot in slots if not np.isfinite(features[slot]).all()}

    def gates(self, steps: Steps, suffix: str) -> Callable[[], dict[int, float]]:
        """Launch the gates of these slots at their steps; return a function that waits for the values, by slot.

        ``suffix`` is the suffix of the gate set's part. The function must be called before this set's gates are
        launched again.
        """
        gates = self._gates[suffix]
        self._run_heads(gates_part(suffix), steps, self._gate_steps, (self._state, self._previous), gates)
        values = self._fetch(gates, steps)
        return lambda: {slot: float(row[0]) for slot, row in values().items()}

    def logits(self, steps: Steps) -> Callable[[], dict[int, Logits]]:
        """Launch the classifiers of these slots at their steps; return a function that waits for the logits.

        The function returns logits ``[classes]`` by slot. It must be called before any classifiers are launched again.
        """
        self._run_heads(CLASSIFIERS, steps, self._classifier_steps, (self._state,), self._logits)
        values = self._fetch(self._logits, steps)
        return lambda: {slot: row.copy() for slot, row in values().items()}

    def states(self, slots: Steps) -> Callable[[], dict[int, State]]:
        """Start copying the states of these slots; return a function that waits for them, each ``[hidden]``.

        The function must be called before states are requested again. The states are first copied on the device,
        because a slot may receive its next clip, or be moved, while the decision is pending.
        """
        if self._recorded is None:
            self._recorded = self._engine.zeros(self._states_shape)
        rows = max(slots, default=-1) + 1
        self._engine.copy(self._rows(self._state, 0, rows), self._rows(self._recorded, 0, rows))
        values = self._fetch(self._recorded, slots)
        return lambda: {slot: row.copy() for slot, row in values().items()}

    def _run_heads(
        self, part: str, steps: Steps, steps_tensor: Handle, inputs: tuple[Handle, ...], out: Handle
    ) -> None:
        """Evaluate a part for these slots at their steps, in one call over all rows up to the last slot."""
        if not steps:
            return
        rows = max(steps) + 1
        values = np.zeros((rows, 1), np.float32)
        values[list(steps), 0] = list(steps.values())
        tensors = [self._rows(tensor, 0, rows) for tensor in (*inputs, steps_tensor)]
        self._engine.write(values, tensors[-1])
        self._engine.run(part, *tensors, out=self._rows(out, 0, rows))

    def _fetch(self, buffer: Handle, steps: Steps) -> Callable[[], dict[int, Array]]:
        """Start copying all rows up to the last slot in ``steps`` to the host, in one copy."""
        if not steps:
            return dict
        wait = self._engine.fetch(self._rows(buffer, 0, max(steps) + 1))

        def rows() -> dict[int, Array]:
            values = wait()
            return {slot: values[slot] for slot in steps}

        return rows

    def _rows(self, buffer: Handle, start: int, stop: int) -> Handle:
        return self._engine.rows(buffer, start, stop)

    def _row(self, buffer: Handle, slot: int) -> Handle:
        return self._rows(buffer, slot, slot + 1)
