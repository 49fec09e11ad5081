"""The three-line use: load a bundle, predict, read the answer.

``predict`` takes what a user has at hand (a video file, a folder of frames, uint8 frames, or normalised pixels) and
looks at no more frames than the answer needs; which frames, and in which order, is the network's own business.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable
from typing import Any

from ..bundle.bundle import Bundle
from ..bundle.manifest import Manifest
from ..engines.base import Engine
from ..inputs.frame_input import Clip, Named
from ..scheduler.options import StreamOptions
from ..video.source import FrameSource
from .prediction import Prediction, StreamResult

OpenSource = Callable[[], FrameSource]


class Network(ABC):
    """A bundle on an engine with a policy; ``vbench.load`` makes one."""

    bundle: Bundle[Manifest]
    engine: Engine

    @property
    @abstractmethod
    def steps(self) -> int:
        """At how many steps a clip may end."""

    @abstractmethod
    def policy_record(self) -> dict[str, Any]:
        """Return what decides where a clip ends, for the record of a run: its ``kind`` and its numbers."""

    @abstractmethod
    def accepted(self, options: StreamOptions) -> StreamOptions:
        """Return the options as this network can follow them.

        Raises:
            UsageError: it cannot, or a value is out of range.
        """

    @abstractmethod
    def predict(self, clip: Clip, *, frames: int | None = None, budget_ms: float | None = None) -> Prediction:
        """Classify one clip.

        Args:
            clip: a video file; a folder of frames; uint8 RGB ``[T, H, W, 3]`` (if T is the number of frames that the
                network takes, these are the sampled frames in temporal order; any other number is sampled from, as
                files are); float32 ``[T, 3, h, w]``, the sampled frames in temporal order, already normalised and of
                the network's input size; or a ``FrameSource``.
            frames: of a frame-flexible network, the frame count to run at; None leaves it to the policy.
            budget_ms: of a frame-flexible network, the milliseconds that the largest count to fit has.

        Raises:
            FrameError: the clip gives no frames that the network could take.
            UsageError: the network has no such choice.
        """

    @abstractmethod
    def stream(
        self, clips: Iterable[Clip | OpenSource | Named[Clip | OpenSource]], options: StreamOptions | None = None
    ) -> Generator[StreamResult, None, None]:
        """Classify many clips; each comes out as soon as it is known, so not always in order.

        Args:
            clips: anything that ``predict`` takes, or functions that open a source when its turn has come; with a name
                where the policy goes by names.
            options: schedule, slots and prefetch; None for the highest throughput, with one frame read ahead.

        Raises:
            UsageError: an option is out of range.
        """

    @abstractmethod
    def warm_up(self, options: StreamOptions) -> None:
        """Run everything that a clip may need in the same way, so that lazy allocations are in nobody's measurement."""
