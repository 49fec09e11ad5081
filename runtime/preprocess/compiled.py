"""Compiled preprocessing, used instead of ``preprocess.onnx`` where Numba is installed.

The graph remains authoritative: the compiled preprocessing is used only if it reproduces the graph's pixels when the
bundle is loaded. It takes about a quarter of the graph's time in ONNX Runtime for a frame of 256 x 320 pixels, and less
for larger ones, because it reads only what the crop needs and makes a single pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib import metadata, util
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import VbenchError
from ...startup import phase
from ..bundle.manifest import Manifest, Preprocessing
from .geometry import BilinearAxis, Crop, Floats, crops, is_pillow
from .jit import Kernels, compiled_kernels

Bytes = NDArray[np.uint8]
Preprocess = Callable[[Bytes], NDArray[Any]]
WriteCrop = Callable[[Bytes, Floats], None]

PREPROCESS = "preprocess"
_SIZES_KEPT = 64
_CHECKED_SIZES = ((45, 31), (290, 418))  # enlarged and reduced, with the longer side on either axis
# Of normalized pixels. OpenVINO interpolates less precisely than ONNX Runtime: its pixels differ by up to 2.7e-4 at
# 224 x 224. Those of a graph with another resize, crop or mean differ by at least 4e-3, a quarter of a gray level.
_TOLERANCE = 1e-3


class CompiledPreprocessing:
    """Converts frames to pixels on the calling thread; thread-safe."""

    def __init__(self, spec: Preprocessing, shape: tuple[int, ...], kernels: Kernels) -> None:
        """Produce pixels of ``shape`` per frame: ``[3, size, size]``, or ``[crops, 3, size, size]``."""
        self._spec, self._shape, self._kernels = spec, shape, kernels
        self._writers = lru_cache(_SIZES_KEPT)(self._writers_for)

    def __call__(self, frames: Bytes, out: Floats | None = None) -> Floats:
        """Return the pixels of uint8 RGB ``[n, height, width, 3]``, in ``out`` if given."""
        count, height, width, _ = frames.shape
        pixels = np.empty((count, *self._shape), np.float32) if out is None else out
        writers, size = self._writers(height, width), self._spec.input_size
        flat = np.ascontiguousarray(frames).reshape(count, height, 3 * width)
        for frame, views in zip(flat, pixels.reshape(count, len(writers), 3, size, size)):
            for write, view in zip(writers, views):
                write(frame, view)
        return pixels

    def _writers_for(self, height: int, width: int) -> tuple[WriteCrop, ...]:
        writer = _filtered if is_pillow(self._spec) else _bilinear
        return tuple(writer(self._spec, crop, self._kernels) for crop in crops(self._spec, height, width))


@phase("preprocessing")
def load_compiled(manifest: Manifest, run_graph: Preprocess, runner: str) -> tuple[CompiledPreprocessing | None, str]:
    """Return the compiled preprocessing of a bundle, or None if its graph must run, and what runs for the run record.

    Args:
        manifest: the bundle's manifest, which describes the preprocessing.
        run_graph: runs ``preprocess.onnx``.
        runner: name and version of the library that does so.
    """
    if util.find_spec("numba") is None:
        return None, runner
    try:
        kernels = compiled_kernels()
    except Exception as error:  # ImportError if NumPy is too new; other errors depend on Numba's version
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        return None, f"{runner} (numba: {reason})"
    compiled = _compiled_for(manifest, kernels)
    if compiled is None or not all(_is_same(compiled, run_graph, frames) for frames in _examples()):
        return None, f"{runner} (the manifest does not describe the graph)"
    return compiled, f"numba {metadata.version('numba')}"


def _compiled_for(manifest: Manifest, kernels: Kernels) -> CompiledPreprocessing | None:
    """Return the compiled preprocessing that the manifest describes, or None if it does not exist.

    The kernels do not check indices, so crops that exceed the resized frame must not reach them.
    """
    spec, shape = manifest.preprocessing, manifest.parts[PREPROCESS].output.shape[1:]
    picture = (3, spec.input_size, spec.input_size)
    is_complete = shape == (len(spec.crops), *picture) or (shape == picture and len(spec.crops) == 1)
    if not is_complete or not 0 < spec.input_size <= spec.resize_side or 0 in spec.std:
        return None
    return CompiledPreprocessing(spec, tuple(int(axis) for axis in shape), kernels)


def _is_same(compiled: CompiledPreprocessing, run_graph: Preprocess, frames: Bytes) -> bool:
    try:
        expected = run_graph(frames)
    except VbenchError:  # a graph that does not run is reported when a frame is read
        return False
    actual = compiled(frames)
    return actual.shape == expected.shape and np.allclose(actual, expected, rtol=0, atol=_TOLERANCE)


def _examples() -> Iterator[Bytes]:
    random = np.random.default_rng(0)
    for height, width in _CHECKED_SIZES:
        yield random.integers(0, 256, (1, height, width, 3), dtype=np.uint8)


def _bilinear(spec: Preprocessing, crop: Crop, kernels: Kernels) -> WriteCrop:
    rows, columns = crop.rows, crop.columns
    assert isinstance(rows, BilinearAxis)
    assert isinstance(columns, BilinearAxis)
    planes = np.array([0, 1, 2] if spec.channel_order == "rgb" else [2, 1, 0])
    mean = (np.array(spec.mean) * 255).astype(np.float32)
    inverse_std = (1 / (np.array(spec.std) * 255)).astype(np.float32)
    span = 3 * np.array([columns.low[0], columns.high[-1] + 1])
    places = ((3 * lines - span[0]).astype(np.uint64) for lines in (columns.low, columns.high))
    arguments: tuple[Any, ...] = (*rows, span, *places, columns.weight, planes, mean, inverse_std)
    return lambda frame, view: kernels.write_bilinear_crop(frame, view, *arguments)


def _filtered(spec: Preprocessing, crop: Crop, kernels: Kernels) -> WriteCrop:
    rows, columns = crop.rows, crop.columns
    assert not isinstance(rows, BilinearAxis)
    assert not isinstance(columns, BilinearAxis)
    mean, std = (np.array(values, np.float32)[:, None] for values in (spec.mean, spec.std))
    table = (np.arange(256, dtype=np.float32) / np.float32(255) - mean) / std
    begin, end = rows.first[0], rows.first[-1] + rows.weights.shape[1]
    places = (3 * columns.first).astype(np.uint64)

    def write(frame: Bytes, view: Floats) -> None:
        filtered = np.empty((end - begin, 3 * spec.input_size), np.uint8)
        kernels.filter_columns(frame, begin, places, columns.weights, filtered)
        kernels.write_filtered_rows(filtered, rows.first - begin, rows.weights, table, view)

    return write
