"""The three-line use: load a bundle, predict, read the answer.

``predict`` takes what a user has at hand (a video file, a folder of frames, uint8 frames, or normalised pixels) and
looks at no more frames than the answer needs; the order in which frames are looked at is the network's own business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import FrameError
from .bundle import Bundle, open_bundle
from .engine import Engine, EngineOptions, Handle, load_engine
from .frames import FrameSource, open_frames
from .policy import FrameExitPolicy, frameexit_policy
from .sampling import sample_positions
from .sequential import run_clip, softmax

Clip = str | Path | NDArray[np.uint8] | NDArray[np.float32] | FrameSource


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
        manifest = self.bundle.manifest
        result = run_clip(self.engine, manifest, self.policy, self._pixels(clip))
        label = int(result.logits.argmax())
        return Prediction(
            label=label,
            name=manifest.class_names[label] if manifest.class_names else None,
            logits=result.logits,
            probabilities=softmax(result.logits),
            exit_step=result.exit_step,
            frames_used=result.exit_step,
            macs=result.macs,
        )

    def _pixels(self, clip: Clip) -> Callable[[int], Handle]:
        if isinstance(clip, np.ndarray) and clip.dtype == np.float32:
            return self._normalised(cast(NDArray[np.float32], clip))
        source = open_frames(cast(Any, clip)) if isinstance(clip, (str, Path, np.ndarray)) else clip
        if not hasattr(source, "read"):
            raise FrameError(
                f"a clip cannot be a {type(clip).__name__}", "give a video file, a folder of pictures or an array"
            )
        positions = sample_positions(len(source), self.bundle.manifest.frames)
        if source.random_access:
            return lambda place: self._preprocess(source.read([positions[place]])[0])
        # Jumping back and forth in a video file costs a decoding each time: read the sampled frames in one pass.
        frames = source.read(positions)
        return lambda place: self._preprocess(frames[place])

    def _normalised(self, clip: NDArray[np.float32]) -> Callable[[int], Handle]:
        manifest = self.bundle.manifest
        size = manifest.preprocessing.input_size
        wanted = (manifest.frames, 3, size, size)
        if clip.shape != wanted:
            raise FrameError(
                f"float32 clip of shape {list(clip.shape)}, {manifest.network} takes {list(wanted)}",
                "give normalised pixels of that shape, or uint8 frames [T, H, W, 3] of any size",
            )
        return lambda place: self.engine.put(np.ascontiguousarray(clip[place : place + 1]))

    def _preprocess(self, frame: NDArray[np.uint8]) -> Handle:
        return self.engine.run("preprocess", self.engine.put(np.ascontiguousarray(frame[None])))


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
        engine: ``ort`` (ONNX Runtime) or ``torch`` (the reference; needs the checkpoint).
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
