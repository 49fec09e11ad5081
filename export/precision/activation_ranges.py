"""Measure the range of every activation on real frames, for static quantization.

A range extends from the minimum to the maximum, as measured by ONNX Runtime's calibrator. On the demo network, these
ranges change 7 of 400 exit steps in int8; the 99.99th percentile changes 18, the 99.9th percentile 84, and the entropy
method 236. Early exit depends on the largest features, which the other methods clip. Ranges are merged after every
batch, so memory use does not grow with the number of videos.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from ...errors import CheckError, DatasetError
from ...runtime.bundle.manifest import CalibrationSpec
from ...runtime.telemetry.cpus import usable_cpus
from .quiet import quiet

if TYPE_CHECKING:
    import onnxruntime

_BATCH = 8  # in frames; limits the memory for activations
_CLIP_AXES = 5  # of the pixels of a part that reads clips; a part that reads frames has four

Clip = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]


@dataclass(frozen=True)
class Calibration:
    """Source of calibration frames.

    Attributes:
        name: name of the data set, for the manifest.
        clips: maps the number of frames and the name of a sampling rule (see ``runtime/video/sampling.py``) to an
            iterable of videos. Each item contains the frames that the network would read, uint8 RGB ``[H, W, 3]`` in
            temporal order. Called once per number of frames; videos are decoded lazily, one at a time.
    """

    name: str
    clips: Callable[[int, str], Iterable[Clip]]


class Ranges(NamedTuple):
    """Activation ranges in the form that ONNX Runtime's quantizer expects, and the calibration that produced them."""

    tensors: Any
    spec: CalibrationSpec

    def peaks(self) -> dict[str, float]:
        """Return the largest magnitude of every activation."""
        return {
            name: max(float(np.abs(bound).max()) for bound in data.range_value) for name, data in self.tensors.items()
        }


def activation_ranges(
    preprocess: onnx.ModelProto,
    part: onnx.ModelProto,
    frames: int,
    scratch: Path,
    calibration: Calibration,
    sampling: str = "linspace",
) -> Ranges:
    """Run the calibration frames through both graphs and return the range of every activation of ``part``.

    Args:
        part: a graph that reads frames ``[n, 3, h, w]``, or clips ``[n, frames, 3, h, w]``; of a clip with several
            crops, the middle one is used.
        frames: number of frames that the network reads per video.
        scratch: existing folder for temporary files, which are deleted afterward.
        sampling: name of the rule that samples the frames.

    Raises:
        DatasetError: no video could be decoded.
        CheckError: an activation is not finite.
    """
    counts = _CalibrationCounts()
    clips = _pixels(_session(preprocess.SerializeToString()), calibration.clips(frames, sampling), counts)
    reads_clips = len(part.graph.input[0].type.tensor_type.shape.dim) == _CLIP_AXES
    with TemporaryDirectory(dir=scratch) as folder, quiet():
        calibrator = _calibrator(part, Path(folder))
        for batch in _clip_batches(clips) if reads_clips else _frame_batches(clips):
            calibrator.collect_data(_SingleBatchReader({"pixels": batch}))
        if not counts.frames:
            raise DatasetError(
                f"{calibration.name}: no calibration video could be decoded", "check the videos with vbench data check"
            )
        tensors = calibrator.compute_data()
    ranges = Ranges(tensors, CalibrationSpec(dataset=calibration.name, method="minmax", **vars(counts)))
    overflowed = next((name for name, peak in ranges.peaks().items() if not np.isfinite(peak)), None)
    if overflowed is not None:
        raise CheckError(
            f"{part.graph.name}: {overflowed} is not finite in fp32 on {calibration.name}",
            "check the weights of the checkpoint",
        )
    return ranges


class _CalibrationCounts:
    """Numbers of calibration videos and frames."""

    def __init__(self) -> None:
        self.videos = 0
        self.frames = 0


class _SingleBatchReader:
    """Reader for ONNX Runtime's calibrator, which returns one batch and then None."""

    def __init__(self, inputs: dict[str, NDArray[np.float32]]) -> None:
        self._inputs: dict[str, NDArray[np.float32]] | None = inputs

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        inputs, self._inputs = self._inputs, None
        return inputs


def _session(model: bytes | str, *, optimized: bool = True) -> onnxruntime.InferenceSession:
    """Create a session limited to this process's CPUs; by default, threads may be pinned to other CPUs."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = usable_cpus()
    if not optimized:
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])


def _calibrator(part: onnx.ModelProto, folder: Path) -> Any:
    from onnxruntime.quantization.calibrate import MinMaxCalibrater

    (folder / "part.onnx").write_bytes(part.SerializeToString())
    augmented = str(folder / "augmented.onnx")
    operators = sorted({node.op_type for node in part.graph.node})
    calibrator = MinMaxCalibrater(folder / "part.onnx", operators, augmented)
    calibrator.augment_graph()
    calibrator.infer_session = _session(augmented, optimized=False)
    return calibrator


def _pixels(
    preprocess: onnxruntime.InferenceSession, clips: Iterable[Clip], counts: _CalibrationCounts
) -> Iterator[list[NDArray[np.float32]]]:
    """Yield the pixels of each video's frames, each ``[1, 3, h, w]`` or ``[1, crops, 3, h, w]``."""
    for clip in clips:
        counts.videos += 1
        counts.frames += len(clip)
        yield [preprocess.run(None, {"frames": frame[None]})[0] for frame in clip]


def _clip_batches(clips: Iterator[list[NDArray[np.float32]]]) -> Iterator[NDArray[np.float32]]:
    for clip in clips:
        frames = np.concatenate(clip)
        yield frames[None, :, frames.shape[1] // 2]


def _frame_batches(clips: Iterator[list[NDArray[np.float32]]]) -> Iterator[NDArray[np.float32]]:
    pending: list[NDArray[np.float32]] = []
    for frame in (frame for clip in clips for frame in clip):
        pending.append(frame)
        if len(pending) == _BATCH:
            yield np.concatenate(pending)
            pending = []
    if pending:
        yield np.concatenate(pending)
