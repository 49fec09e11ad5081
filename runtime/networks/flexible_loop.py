"""Run many clips through a frame-flexible network: those that stand at the same frame count share a call.

A tick looks at every clip that has a slot once, at its frame count; clips of a cascade stand at different ones, and
each count is a part of its own, so that a tick is one call for each count that is wanted. Nothing is computed for a
clip that has its answer.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import pairwise
from math import prod
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ..bundle.manifest import FlexibleManifest, frames_part
from ..engines.base import Engine, Handle
from ..inputs.frame_input import Named
from ..policies.base import Evidence
from ..policies.cascade import Cascade
from ..scheduler.active_clip import Running
from ..scheduler.options import StreamOptions
from ..scheduler.results import Outcome
from ..scheduler.scheduler import Clock, Seating
from ..scheduler.schedules import Move, Seat
from ..scheduler.waiting_queue import OpenClip
from .frameexit_decider import Verdict
from .prediction import certainty


def stream_counts(
    engine: Engine,
    manifest: FlexibleManifest,
    policy: Cascade,
    clips: Iterable[OpenClip | Named[OpenClip]],
    options: StreamOptions,
    clock: Clock = time.perf_counter,
) -> Generator[Outcome, None, None]:
    """Yield the outcome of every clip as soon as it is known. Closing the iterator ends all reading."""
    with closing(_Stream(engine, manifest, policy, clips, options, clock)) as running:
        yield from running.outcomes()


class _Looked(NamedTuple):
    """What a clip's look at its frames came to: the mean of its views' logits ``[classes]``, and what that took."""

    logits: NDArray[np.float32]
    macs: int


class _Stream:
    def __init__(
        self,
        engine: Engine,
        manifest: FlexibleManifest,
        policy: Cascade,
        clips: Iterable[OpenClip | Named[OpenClip]],
        options: StreamOptions,
        clock: Clock,
    ) -> None:
        self._manifest, self._policy, self._clock = manifest, policy, clock
        # Most clips of a cascade end before its last count, so that a count's frames are not read ahead of its turn.
        self._seating = Seating(clips, len(policy.counts), options, clock, ahead_in_clip=0)
        self._counts = Counts(engine, manifest, max(policy.counts), options.slots)
        self._pixels: dict[int, Handle] = {}
        self.close = self._seating.close

    def outcomes(self) -> Iterator[Outcome]:
        while self._seating.fill(_nothing, _nothing):
            if self._seating.load_all(self._load):
                self._tick()
            yield from self._seating.take_done()

    def _load(self, _slot: int, seat: Seat, running: Running) -> None:
        self._pixels[seat.clip] = running.feed.take(seat.step)

    def _tick(self) -> None:
        seats = {seat.clip: (slot, seat.step) for slot, seat in enumerate(self._seating.schedule.rows)}
        begin, looked = self._clock(), dict[int, _Looked]()
        for step in sorted({step for _, step in seats.values()}):
            clips = [clip for clip, (_, its) in seats.items() if its == step]
            found = self._counts.look(self._policy.counts[step - 1], [self._pixels.pop(clip) for clip in clips])
            looked |= zip(clips, found)
        running = self._seating.running
        self._seating.ledger.share([running[clip] for clip in seats], self._clock() - begin, 0.0)
        for clip, (slot, step) in seats.items():
            running[clip].filled = False
            answer = running[clip].note(self._verdict(step, looked[clip]), self._clock())
            if answer is not None:
                self._seating.finish(clip, answer)
                self._seating.schedule.end(slot)
        self._seating.schedule.advance()

    def _verdict(self, step: int, looked: _Looked) -> Verdict:
        logits, macs = looked
        if step == len(self._policy.counts):
            return Verdict(ends=True, gate=None, logits=logits, score=None, macs=macs)
        confidence = certainty(logits)[0]
        ends = bool(self._policy.exits(Evidence(step, confidence=confidence)))
        return Verdict(ends=ends, gate=None, logits=logits, score=confidence, macs=macs)


def _nothing(*_: int | Move | Running) -> None:
    """Clips keep nothing in a slot."""


class Counts:
    """The parts of the frame counts, and the memory in which clips of one count are put side by side."""

    def __init__(self, engine: Engine, manifest: FlexibleManifest, frames: int, slots: int) -> None:
        """Make room for ``slots`` clips of up to ``frames`` frames."""
        size = manifest.preprocessing.input_size
        self._engine, self._manifest = engine, manifest
        self._most = slots * manifest.views * frames * 3 * size * size
        self._memory: Handle = None

    def look(self, count: int, clips: Sequence[Handle]) -> list[_Looked]:
        """Run clips ``[views, count, 3, h, w]``, which may have different numbers of views.

        The mean over the views ranks classes as their sum does, which the originals take.
        """
        part = frames_part(count)
        ends = np.cumsum([0, *(clip.shape[0] for clip in clips)]).tolist()
        output = self._engine.run(part, clips[0] if len(clips) == 1 else self._side_by_side(clips, ends))
        logits = cast(NDArray[np.float32], self._engine.get(output))
        macs = self._manifest.parts[part].macs
        return [_Looked(logits[start:stop].mean(axis=0), (stop - start) * macs) for start, stop in pairwise(ends)]

    def _side_by_side(self, clips: Sequence[Handle], ends: Sequence[int]) -> Handle:
        if self._memory is None:
            self._memory = self._engine.zeros((self._most,))
        shape = (ends[-1], *clips[0].shape[1:])
        batch = self._engine.view(self._engine.rows(self._memory, 0, prod(shape)), shape)
        for clip, (start, stop) in zip(clips, pairwise(ends)):
            self._engine.copy(clip, self._engine.rows(batch, start, stop))
        return batch
