"""Frames of other libraries: host memory is used without a copy, a GPU requires an engine that preprocesses there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.conftest import FlexibleBundle
from vbench.bench.datasets.base import Dataset, Video
from vbench.bench.datasets.calibration import calibration_videos
from vbench.errors import FrameError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.bundle.manifest import FrameExitManifest
from vbench.runtime.engines.base import Handle
from vbench.runtime.engines.ort.cpu import OrtEngine
from vbench.runtime.load import load
from vbench.runtime.networks.base import Network
from vbench.runtime.video.dlpack import host_frame
from vbench.runtime.video.source import ArrayFrames

FRAMES = np.random.default_rng(0).integers(0, 256, (12, 40, 50, 3), dtype=np.uint8)
CUDA, PAGE_LOCKED, VULKAN = 2, 3, 7


class CudaFrame:
    """A frame in memory that only ``CudaEngine`` may read."""

    def __init__(self, pixels: NDArray[np.uint8], device: tuple[Any, int] = (CUDA, 1)) -> None:
        self.pixels, self._device = pixels, device

    def __dlpack__(self, *, stream: Any = None) -> Any:
        raise AssertionError("a frame on a GPU must not be read by the host")

    def __dlpack_device__(self) -> tuple[Any, int]:
        return self._device


class CudaEngine:
    """ONNX Runtime, except that frames are on "its" GPU: it accepts nothing but ``CudaFrame`` objects."""

    def __init__(self, engine: OrtEngine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def put(self, array: Handle) -> Handle:
        assert array.dtype != np.uint8, "no frame may be taken from host memory"
        return self._engine.put(array)

    def put_device_frame(self, frame: Any) -> Handle:
        assert isinstance(frame, CudaFrame)
        return frame.pixels[None]


class ConvertedFrames(ArrayFrames):
    """A user's source, which returns the frames of an array as objects of another library."""

    def __init__(self, convert: Callable[[NDArray[np.uint8]], Any], frames: NDArray[np.uint8] = FRAMES) -> None:
        super().__init__(frames)
        self._convert = convert

    def read(self, position: int) -> Any:
        return self._convert(super().read(position))


def planes(frame: NDArray[np.uint8]) -> torch.Tensor:
    """Return the frame as a view of planar memory, as decoders on GPUs write it."""
    return torch.from_numpy(np.ascontiguousarray(frame.transpose(2, 0, 1))).permute(1, 2, 0)


def logits(network: Network, clips: Sequence[Any]) -> list[NDArray[np.float32]]:
    results = sorted(network.stream(clips), key=lambda result: result.clip)
    return [result.unwrap().logits for result in results]


@pytest.fixture(params=["frame by frame", "clip of frames"])
def network(
    request: pytest.FixtureRequest, tiny_bundle: Bundle[FrameExitManifest], flexible_bundle: FlexibleBundle
) -> Network:
    bundle: Bundle[Any] = tiny_bundle if request.param == "frame by frame" else flexible_bundle("tsm", "folded")
    return load(bundle.path)


@pytest.mark.parametrize("convert", [torch.from_numpy, planes, np.asarray], ids=["torch", "torch view", "numpy"])
def test_frames_in_host_memory(network: Network, convert: Callable[[NDArray[np.uint8]], Any]) -> None:
    actual, expected = logits(network, [ConvertedFrames(convert)] * 3), logits(network, [FRAMES] * 3)
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("device", [(1, 0), (PAGE_LOCKED, 0)])
def test_host_memory_is_not_copied(device: tuple[int, int]) -> None:
    class HostFrame(CudaFrame):
        def __dlpack__(self, **arguments: Any) -> Any:
            return self.pixels.__dlpack__(**arguments)

    pixels = FRAMES[0].copy()
    assert np.shares_memory(host_frame(HostFrame(pixels, device)), pixels)
    assert np.shares_memory(host_frame(torch.from_numpy(pixels)), pixels)  # type: ignore[arg-type]


def test_frames_on_the_device_of_the_engine(network: Network) -> None:
    on_device = Network(network.bundle, CudaEngine(network.engine), network.policy)  # type: ignore[arg-type]
    actual, expected = logits(on_device, [ConvertedFrames(CudaFrame)] * 3), logits(network, [FRAMES] * 3)
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("engine", ["ort", "openvino", "torch"])
def test_an_engine_that_reads_host_memory_refuses_frames_on_a_gpu(
    tiny_bundle: Bundle[FrameExitManifest], engine: str
) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
    results = {each.clip: each for each in load(tiny_bundle.path, engine).stream([ConvertedFrames(CudaFrame), FRAMES])}
    message = (
        f"the frame is on cuda:1, but the {engine} engine preprocesses in host memory; return frames in host memory, "
        "or use an engine that preprocesses on the device"
    )
    with pytest.raises(FrameError, match=f"^{message}$"):
        results[0].unwrap()
    assert results[1].error is None


@pytest.mark.parametrize(
    ("convert", "message"),
    [
        (lambda frame: frame.tolist(), "^a frame cannot be of type list; return uint8 RGB"),
        (lambda frame: torch.from_numpy(frame).float(), r"^a frame is float32 \[40, 50, 3\]; return uint8 RGB"),
        (lambda frame: torch.from_numpy(frame)[None], r"^a frame is uint8 \[1, 40, 50, 3\]; return"),
        (lambda frame: frame.transpose(2, 0, 1), r"^a frame is uint8 \[3, 40, 50\]; return"),
        (lambda frame: frame[:0], r"^a frame is uint8 \[0, 50, 3\]; return"),
        (
            lambda frame: torch.from_numpy(frame).to(torch.bfloat16),
            "^a frame of type Tensor cannot be read through DLPa",
        ),
        (lambda _: None, "^a frame cannot be of type NoneType; return uint8 RGB"),
        (lambda _: CudaFrame, "^a frame cannot be of type"),
        (
            lambda frame: CudaFrame(frame, ("cuda", 0)),
            "^a frame of type CudaFrame cannot be read through DLPack: Value",
        ),
        (lambda frame: CudaFrame(frame, (VULKAN, 0)), "^the frame is on DLPack device 7:0, but the ort engine"),
    ],
)
def test_other_frames(
    tiny_bundle: Bundle[FrameExitManifest], convert: Callable[[NDArray[np.uint8]], Any], message: str
) -> None:
    with pytest.raises(FrameError, match=message) as raised:
        load(tiny_bundle.path).predict(ConvertedFrames(convert))
    assert "\n" not in str(raised.value)


def test_pictures_and_calibration_need_frames_in_host_memory() -> None:
    dataset = Dataset("any", (), (Video("clip", (), lambda: ConvertedFrames(CudaFrame)),), (), "top1", split=None)
    videos = calibration_videos(dataset, 1)
    assert not list(videos.clips(4, "linspace"))
    assert [each.reason for each in videos.skipped] == ["the frame is on cuda:1; return frames in host memory"]
