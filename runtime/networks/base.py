"""The user's view of a network: classify one clip, or a stream of clips.

``predict`` accepts a video file, a folder of frames, uint8 frames, or normalized pixels, and reads only the frames
needed; frame selection and order are defined by the network's family.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any

from ..bundle.bundle import Bundle
from ..bundle.manifest import Manifest
from ..engines.base import Engine
from ..families import family_of
from ..inputs.base import Clip, NamedClip, OpenSource
from ..policies.base import Policy
from ..scheduler.active_clip import Clock
from ..scheduler.options import THROUGHPUT, StreamOptions
from ..scheduler.results import ClipResult, Prediction
from ..scheduler.stream import ClipStream
from .family import Family
from .replicas import replica_results


class Network:
    """A bundle loaded on an engine, with an exit policy; created by ``vbench.load``.

    Thread safety: a network holds no per-clip state, so several threads may each run their own streams if the engine
    allows it (see ``Engine``). A `ClipStream` belongs to one thread, except for its methods `submit` and `finish`.

    Attributes:
        policy_sources: where each policy value comes from, by option.
        parts: parts loaded by the engine.
        replicas: engines that `stream` uses in addition to ``engine``, with the same parts.
    """

    def __init__(
        self,
        bundle: Bundle[Manifest],
        engine: Engine,
        policy: Policy,
        *,
        policy_sources: Mapping[str, str] | None = None,
        parts: frozenset[str] | None = None,
        replicas: Sequence[Engine] = (),
    ) -> None:
        """Create a network that runs ``policy`` on the loaded ``parts`` (None: all).

        Raises:
            UsageError: the policy does not apply to the network, or requires a part that was not loaded.
        """
        self.bundle, self.engine, self.policy = bundle, engine, policy
        self.replicas = tuple(replicas)
        self.family: Family[Any] = family_of(bundle.manifest)
        self.policy_sources = dict(policy_sources or {})
        self.parts = frozenset(bundle.manifest.parts) if parts is None else parts
        self._route = self.family.route(bundle.manifest, policy)
        self.family.check_parts(bundle.manifest, policy, self.parts)

    def with_policy(self, policy: Policy, policy_sources: Mapping[str, str] | None = None) -> Network:
        """Return a network with the same engines and parts but a different policy."""
        return self._with(self.engine, policy, policy_sources, self.replicas)

    @property
    def steps(self) -> int:
        """Number of steps at which a clip may end."""
        return len(self._route)

    @property
    def step_frames(self) -> tuple[int, ...]:
        """Number of frames read by each step at which a clip may end."""
        steps = self.family.steps(self.bundle.manifest)
        return tuple(steps[step - 1].clips * steps[step - 1].frames for step in self._route)

    def predict(self, clip: Clip, *, frames: int | None = None, budget_ms: float | None = None) -> Prediction:
        """Classify one clip.

        Args:
            clip: a video file; a folder of frames; uint8 RGB ``[T, H, W, 3]`` (if T is the network's number of frames,
                these are the sampled frames in temporal order; otherwise frames are sampled as from a file); float32
                ``[T, 3, h, w]``, the sampled frames in temporal order, normalized and at the network's input size
                (for a network with several crops per clip, also ``[views, T, 3, h, w]``); or a ``FrameSource``.
            frames: frame-flexible networks: the frame count to run at; None: determined by the policy, or by the length
                of a clip of normalized pixels.
            budget_ms: frame-flexible networks: run at the largest count whose latency is within this budget.

        Raises:
            FrameError: the clip yields no usable frames.
            UsageError: the network does not support ``frames`` or ``budget_ms``, or the values given.
        """
        policy = self.family.policy_for_clip(self, clip, frames, budget_ms)
        network = self if policy is self.policy else self.with_policy(policy)
        (result,) = network._stream([clip], StreamOptions())
        return result.unwrap()

    def stream(
        self, clips: Iterable[Clip | OpenSource | NamedClip], options: StreamOptions | None = None
    ) -> Generator[ClipResult, None, None]:
        """Classify many clips; yield each result as soon as it is known, in order of completion.

        Args:
            clips: anything that ``predict`` accepts, or functions that open a source on demand; pass `NamedClip`
                objects if the policy depends on names.
            options: schedule, slots and prefetching, per replica; None: high throughput, with one prefetched frame.

        Raises:
            UsageError: an option is out of range, or not supported by this network.
        """
        if self.replicas:
            singles = [self._with(engine, self.policy) for engine in (self.engine, *self.replicas)]
            streams = [partial(single.open_stream, options) for single in singles]
            yield from replica_results(streams, clips, time.perf_counter)
            return
        yield from self._stream(clips, options)

    def open_stream(
        self,
        options: StreamOptions | None = None,
        clips: Iterable[Clip | OpenSource | NamedClip] = (),
        clock: Clock = time.perf_counter,
    ) -> ClipStream:
        """Return a stream that accepts clips while others run, on the first replica only; see `ClipStream`.

        Raises:
            UsageError: an option is out of range, or not supported by this network.
        """
        options = options or THROUGHPUT
        manifest = self.bundle.manifest
        self.family.check_stream(manifest, options)
        program = self.family.program(self.engine, manifest, self.policy, options)
        open_input = partial(self.family.open_input, self.engine, manifest, self.policy)
        return ClipStream(program, open_input, options, clips, clock)

    def _stream(
        self, clips: Iterable[Clip | OpenSource | NamedClip], options: StreamOptions | None
    ) -> Generator[ClipResult, None, None]:
        """Run a stream on the first replica."""
        with closing(self.open_stream(options, clips)) as stream:
            stream.finish()
            yield from stream.results()

    def warm_up(self, options: StreamOptions) -> None:
        """Run every part that a clip may need, so that lazy initialization does not affect measurements."""
        for engine in (self.engine, *self.replicas):
            for policy, clip, least in self.family.warm_up(self):
                for _ in self._with(engine, policy).stream([clip] * max(least, options.slots), options):
                    pass

    def _with(
        self,
        engine: Engine,
        policy: Policy,
        policy_sources: Mapping[str, str] | None = None,
        replicas: Sequence[Engine] = (),
    ) -> Network:
        return Network(self.bundle, engine, policy, policy_sources=policy_sources, parts=self.parts, replicas=replicas)
