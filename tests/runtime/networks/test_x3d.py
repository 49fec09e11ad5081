"""X3D on the engines: steps that read clips, temporal views, and what they accept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests import x3d
from tests.bundle_cache import cached_export
from tests.fakes_triton import Request, Server
from tests.networks import save_checkpoint
from tests.videos import save_moving
from vbench.errors import CheckpointError, FrameError, UsageError
from vbench.export.exporter import ExportOptions, export_checkpoint
from vbench.export.triton.repository import write_repository
from vbench.models.frameexit.network import FrameExit
from vbench.models.x3d.network import X3D
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.load import load
from vbench.runtime.networks.base import Network
from vbench.runtime.scheduler.options import StreamOptions
from vbench.runtime.video.open import open_frames
from vbench.runtime.video.sampling import temporal_view_positions
from vbench.runtime.video.source import ArrayFrames
from vbench.runtime.video.video_file import VideoFrames

ENGINES = ("ort", "torch", "openvino")
OPTIONS = ExportOptions(input_size=x3d.SIZE)


@pytest.fixture(scope="module", autouse=True)
def shallow() -> Iterator[None]:
    with x3d.shallow():
        yield


@pytest.fixture(scope="module")
def frameexit(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("x3d")
    save_checkpoint(x3d.narrow_frameexit(), folder / "frameexit.pth")
    return cached_export(folder / "frameexit.pth", folder / "frameexit", OPTIONS)


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("x3d")
    torch.save({"model_state": x3d.narrow().state_dict()}, folder / "static.pth")
    return cached_export(folder / "static.pth", folder / "static", OPTIONS)


def videos(count: int, frames: int = 90) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    scale = np.linspace(0.2, 1, count)[:, None, None, None, None]
    return list((rng.integers(0, 256, (count, frames, 40, 50, 3)) * scale).astype(np.uint8))


def original(network: FrameExit, frames: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """Return the logits of all steps, computed from the definition: ten clips, in FrameExit's order, the maximum."""
    clips = temporal_view_positions(len(frames), network.clip_frames, 30, network.head.frames)
    preprocess = network.parts_by_name(["preprocess"])["preprocess"].module
    state, logits = torch.zeros(1, network.head.hidden), []
    with torch.no_grad():
        for step, place in enumerate(network.frame_order):
            pixels = preprocess(torch.from_numpy(frames[list(clips[place])]))[:, 0]
            state = torch.maximum(state, network.mlp(network.backbone(pixels[None])))
            logits.append(network.classifiers[step](state)[0].numpy())
    return logits


@pytest.mark.parametrize("engine", ENGINES)
def test_steps_read_the_clips_of_the_original(frameexit: Bundle, engine: str) -> None:
    network = load(frameexit.path, engine, first_threshold=1.0, gate_threshold=1.0)
    for frames in videos(2):
        prediction = network.predict(frames)
        assert (prediction.exit_step, prediction.frames_used) == (3, 39)
        expected = original(x3d.narrow_frameexit(), frames)[-1]
        assert np.abs(prediction.logits - expected).max() <= 1e-4


@pytest.mark.parametrize("schedule", ["sequential", "lockstep", "compact", "inflight"])
def test_schedules_give_the_same_answers(frameexit: Bundle, schedule: str) -> None:
    network = load(frameexit.path, "ort", first_threshold=0.5, gate_threshold=0.5)
    clips = videos(5)
    expected = [network.predict(clip) for clip in clips]
    slots = 1 if schedule == "sequential" else 2
    results = sorted(
        network.stream(clips, StreamOptions(schedule=schedule, slots=slots)), key=lambda result: result.clip
    )
    for one, result in zip(expected, results):
        other = result.unwrap()
        assert (one.label, one.exit_step) == (other.label, other.exit_step)
        assert np.allclose(one.logits, other.logits, atol=1e-5)


def test_normalized_clips_are_accepted(frameexit: Bundle) -> None:
    network = load(frameexit.path, "ort", first_threshold=1.0, gate_threshold=1.0)
    (frames,) = videos(1)
    steps = network.steps
    positions = temporal_view_positions(len(frames), 13, 30, steps)
    preprocess = x3d.narrow_frameexit().parts_by_name(["preprocess"])["preprocess"].module
    pixels = np.stack([preprocess(torch.from_numpy(frames[list(clip)]))[:, 0].numpy() for clip in positions])
    assert pixels.shape == (steps, 13, 3, x3d.SIZE, x3d.SIZE)
    assert np.allclose(network.predict(pixels).logits, network.predict(frames).logits, atol=1e-5)
    with pytest.raises(FrameError, match=r"takes \[3, 13, 3, 32, 32\]"):
        network.predict(pixels[:, 0])


class CountedFrames(ArrayFrames):
    """Frames that record which of them were expected."""

    frame_rate = 15.0

    def expect(self, positions: list[int]) -> None:
        self.expected = list(positions)
        super().expect(positions)


def test_the_frame_rate_sets_the_spacing_and_shared_frames_are_expected_once_per_clip(frameexit: Bundle) -> None:
    (frames,) = videos(1)
    source = CountedFrames(frames)
    network = load(frameexit.path, "ort", first_threshold=1.0, gate_threshold=1.0)
    network.predict(source)
    clips = temporal_view_positions(90, 13, 15.0, 3)
    order = x3d.narrow_frameexit().frame_order
    assert source.expected == [position for place in order for position in clips[place]]


def test_the_frame_rate_of_a_video_file_is_used(frameexit: Bundle, tmp_path: Path) -> None:
    network = load(frameexit.path, "ort", first_threshold=1.0, gate_threshold=1.0)
    path = save_moving(tmp_path / "video.mp4", frames=60)  # 25 frames per second
    with closing(open_frames(path)) as source:
        assert isinstance(source, VideoFrames)
        assert source.frame_rate == 25
        frames = np.stack([source.read(place) for place in range(60)])
    counted = CountedFrames(frames)
    counted.frame_rate = 25.0
    assert np.allclose(network.predict(path).logits, network.predict(counted).logits, atol=1e-5)
    assert not np.allclose(network.predict(path).logits, network.predict(frames).logits, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_score_is_the_mean_probability_of_ten_clips(static: Bundle, engine: str) -> None:
    network, reference = load(static.path, engine), x3d.narrow()
    (frames,) = videos(1)
    preprocess = reference.preprocess().module
    with torch.no_grad():
        clips = temporal_view_positions(len(frames), 13, 30)
        pixels = torch.stack([preprocess(torch.from_numpy(frames[list(clip)]))[:, 0] for clip in clips])
        expected = reference.at(13)(pixels).softmax(-1).mean(0).numpy()
    prediction = network.predict(frames)
    assert np.abs(prediction.probabilities - expected).max() <= 1e-5
    assert prediction.macs == 10 * static.manifest.parts["frames_13"].macs


def test_one_normalized_clip_is_one_view(static: Bundle) -> None:
    clip = np.random.default_rng(0).normal(size=(13, 3, x3d.SIZE, x3d.SIZE)).astype(np.float32)
    prediction = load(static.path, "ort").predict(clip)
    with torch.no_grad():
        expected = x3d.narrow()(torch.from_numpy(clip[None]))[0].numpy()
    assert np.abs(prediction.logits - expected).max() <= 1e-4
    assert (prediction.macs, prediction.frames_used) == (static.manifest.parts["frames_13"].macs, 13)


@pytest.mark.parametrize("kind", ["static", "frameexit"])
def test_no_frame_of_a_video_is_decoded_twice(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    bundle: Bundle = request.getfixturevalue(kind)
    path = save_moving(tmp_path / "video.mp4", frames=90)  # shorter than two clips, so that all clips overlap
    policy = {} if kind == "static" else {"first_threshold": 1.0, "gate_threshold": 1.0}
    (result,) = load(bundle.path, "ort", **policy).stream([path], StreamOptions())  # type: ignore[arg-type]
    assert result.cost.read.frames_read == result.unwrap().frames_used == (130 if kind == "static" else 39)
    assert result.cost.read.frames_decoded <= 90


def test_a_video_shorter_than_a_clip_repeats_its_last_frame(static: Bundle, tmp_path: Path) -> None:
    path = save_moving(tmp_path / "video.mp4", frames=3)
    prediction = load(static.path, "ort").predict(path)
    assert np.isfinite(prediction.logits).all()
    assert prediction.frames_used == 130


@pytest.mark.parametrize("kind", ["static", "frameexit"])
def test_pixels_that_are_not_finite_are_refused(kind: str, request: pytest.FixtureRequest) -> None:
    bundle: Bundle = request.getfixturevalue(kind)
    shape = (13, 3, x3d.SIZE, x3d.SIZE)
    pixels = np.zeros(shape if kind == "static" else (3, *shape), np.float32)
    pixels.flat[7] = np.nan
    with pytest.raises(FrameError, match="finite"):
        load(bundle.path, "ort").predict(pixels)


def test_both_are_served_like_any_network(static: Bundle, frameexit: Bundle, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number, bundle in enumerate((static, frameexit)):
        network = load(bundle.path, "ort")
        made = write_repository(bundle, tmp_path / f"out {number}", network.policy)
        server = Server(made.path, tmp_path / f"server {number}")
        clips = [rng.integers(0, 256, (length, 40, 52, 3), dtype=np.uint8) for length in (3, 70)]
        for clip, answer in zip(clips, server.ask(made.name, *(Request(clip[None]) for clip in clips))):
            expected = network.predict(clip)
            assert answer["EXIT_STEP"][0, 0] == expected.exit_step
            assert answer["FRAMES_USED"][0, 0] == expected.frames_used
            np.testing.assert_allclose(answer["LOGITS"][0], expected.logits, 1e-5, 1e-5)
        server.close()


TO_END = ExportOptions(input_size=x3d.SIZE, clip_sampling="temporal_views_to_end")


def test_clip_sampling_is_an_option_of_clips_only(tmp_path: Path, tiny_checkpoint: Path) -> None:
    with pytest.raises(CheckpointError, match="whose steps read single frames; omit --clip-sampling"):
        export_checkpoint(tiny_checkpoint, tmp_path / "tiny", TO_END)


@pytest.mark.slow
def test_clips_are_spread_as_the_option_says(tmp_path: Path) -> None:
    save_checkpoint(x3d.narrow_frameexit(), tmp_path / "x.pth")
    bundle = cached_export(tmp_path / "x.pth", tmp_path / "x", TO_END)
    assert bundle.manifest.sampling == "temporal_views_to_end"


def test_networks_are_described(static: Bundle, frameexit: Bundle) -> None:
    assert dict(describe(frameexit))["input"] == "3 clips of 13 frames of 32 x 32 in the order [1, 0, 2]"
    assert dict(describe(static))["input"] == "10 clips of 13 frames of 32 x 32, 1 crop each"


def describe(bundle: Bundle) -> tuple[tuple[str, str], ...]:
    network: Network = load(bundle.path, "ort")
    return network.family.describe(bundle.manifest)


def test_the_narrow_networks_stand_for_the_full_ones() -> None:
    assert isinstance(x3d.narrow(), X3D)
    assert x3d.narrow_frameexit().clip_frames == 13


def test_x3d_is_exported_in_fp32_only(static: Bundle, tmp_path: Path) -> None:
    checkpoint = static.path.parent / "static.pth"
    options = ExportOptions(input_size=x3d.SIZE, precisions=("fp32", "fp16"))
    with pytest.raises(UsageError, match=r"can be exported in fp32 only, not in fp32, fp16; omit --precision$"):
        export_checkpoint(checkpoint, tmp_path / "bundle", options)
    assert not (tmp_path / "bundle").exists()
