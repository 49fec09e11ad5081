"""The three-line use: load a bundle, predict, read the answer.

``predict`` takes what a user has at hand (a video file, a folder of frames, uint8 frames, or normalised pixels) and
looks at no more frames than the answer needs; the order in which frames are looked at is the network's own business.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import VbenchError
from .bundle import Bundle, open_bundle
from .engine import Engine, EngineOptions, load_engine
from .frames import FrameSource
from .options import THROUGHPUT, StreamOptions
from .outcome import Answer, Cost
from .policy import FrameExitPolicy, frameexit_policy
from .reader import Clip, open_reader
from .slots import softmax
from .stream import run_clip, stream


@dataclass(frozen=True)
class Prediction:
    """Answer for one clip.

    Attributes:
        label: index of the most probable class (the first of equals).
        name: its name, where the bundle knows names.
        logits: float32 ``[classes]`` of the classifier at the exit step.
        probabilities: float32 ``[classes]``, their softmax.
        exit_step: 1-based step at which the clip ended.
        frames_used: number of frames the network looked at.
        macs: multiply-accumulates of every part that ran for this clip.
    """

    label: int
    name: str | None
    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    exit_step: int
    frames_used: int
    macs: int


class StreamResult(NamedTuple):
    """What became of the clip number ``clip`` (from 0): a prediction or an error, what was compared, what it cost.

    ``scores`` are the confidence of step 1 and the gate values of the later steps, as far as the clip went.
    """

    clip: int
    prediction: Prediction | None
    error: VbenchError | None
    scores: tuple[float, ...]
    cost: Cost


class Network:
    """A bundle on an engine with an exit policy."""

    def __init__(self, bundle: Bundle, engine: Engine, policy: FrameExitPolicy) -> None:
        policy.check_frames(bundle.manifest.frames)
        self.bundle = bundle
        self.engine = engine
        self.policy = policy

    def with_policy(self, policy: FrameExitPolicy) -> Network:
        """Return the same network, engine included, under another policy."""
        return Network(self.bundle, self.engine, policy)

    def predict(self, clip: Clip) -> Prediction:
        """Classify one clip.

        Args:
            clip: a video file; a folder of frames; uint8 RGB ``[T, H, W, 3]`` (if T is the network's number of frames
                these are the sampled frames in temporal order; any other number is sampled from, as files are);
                float32 ``[T, 3, h, w]``, the sampled frames in temporal order, already normalised and of the network's
                input size; or a ``FrameSource``.

        Raises:
            FrameError: the clip gives no frames that the network could take.
        """
        reader = partial(open_reader, self.engine, self.bundle.manifest, clip)
        answer, cost = run_clip(self.engine, self.bundle.manifest, self.policy, reader)
        return self._prediction(answer, cost)

    def stream(
        self, clips: Iterable[Clip | Callable[[], FrameSource]], options: StreamOptions | None = None
    ) -> Generator[StreamResult, None, None]:
        """Classify many clips, several at a time; each comes out as soon as it is known, so not in order.

        Args:
            clips: anything that ``predict`` takes, or functions that open a source when its turn has come.
            options: schedule, slots and prefetch; None for eight slots in flight, one frame read ahead.

        Raises:
            UsageError: an option is out of range.
        """
        manifest = self.bundle.manifest
        readers = (partial(open_reader, self.engine, manifest, clip) for clip in clips)
        with closing(stream(self.engine, manifest, self.policy, readers, options or THROUGHPUT)) as outcomes:
            for clip, answer, error, cost in outcomes:
                prediction = None if answer is None else self._prediction(answer, cost)
                yield StreamResult(clip, prediction, error, () if answer is None else answer.scores, cost)

    def _prediction(self, answer: Answer, cost: Cost) -> Prediction:
        label = int(answer.logits.argmax())
        names = self.bundle.manifest.class_names
        return Prediction(
            label=label,
            name=names[label] if names else None,
            logits=answer.logits,
            probabilities=softmax(answer.logits),
            exit_step=answer.exit_step,
            frames_used=answer.exit_step,
            macs=cost.macs,
        )


def load(
    bundle: str | Path,
    engine: str = "ort",
    *,
    first_threshold: float | None = None,
    gate_threshold: float | Sequence[float] | None = None,
    precision: str = "fp32",
    threads: int = 0,
    checkpoint: str | Path | None = None,
) -> Network:
    """Load a bundle on an engine.

    Args:
        bundle: folder that ``vbench export`` made.
        engine: ``ort`` (ONNX Runtime), ``openvino``, or ``torch`` (the reference; needs the checkpoint).
        first_threshold: softmax confidence above which the first step exits; None takes the bundle's default.
        gate_threshold: gate value above which a later step exits, one for all or one each; None: the bundle's default.
        precision: which of the bundle's precisions to run.
        threads: threads of the engine; 0 for all cores.
        checkpoint: for the torch engine, where the source checkpoint is now.

    Raises:
        BundleError, MissingError, UsageError: see ``open_bundle`` and ``load_engine``.
    """
    opened = open_bundle(Path(bundle))
    defaults = opened.manifest.policy
    policy = frameexit_policy(
        defaults.first_threshold if first_threshold is None else first_threshold,
        defaults.gate_threshold if gate_threshold is None else gate_threshold,
    )
    policy.check_frames(opened.manifest.frames)
    options = EngineOptions(precision, threads, None if checkpoint is None else Path(checkpoint))
    return Network(opened, load_engine(engine, opened, options), policy)
