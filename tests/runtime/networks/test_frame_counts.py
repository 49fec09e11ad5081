"""Frame-flexible bundles at run time: accepted inputs and options, number of frames used, and cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import vbench
from tests.marks import slow_except
from vbench.errors import FrameError, MissingError, UsageError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.bundle.manifest import FlexibleManifest
from vbench.runtime.engines.base import Handle
from vbench.runtime.engines.numpy_memory import NumpyMemory
from vbench.runtime.load import load
from vbench.runtime.measurements.store import FILE, MeasurementStore
from vbench.runtime.networks.base import Network
from vbench.runtime.networks.frame_counts import FAMILY, FrameCountFamily
from vbench.runtime.networks.latency_profile import LatencyProfile
from vbench.runtime.policies.base import Policy
from vbench.runtime.policies.cascade import Cascade, FrameCount
from vbench.runtime.policies.gates import FrameExitPolicy
from vbench.runtime.policies.registry import write_policy
from vbench.runtime.policies.rules import Confidence, Patience, RunAll
from vbench.runtime.scheduler.options import LATENCY, THROUGHPUT, StreamOptions
from vbench.runtime.video.sampling import SAMPLERS
from vbench.runtime.video.source import ArrayFrames

Clips = NDArray[np.uint8]
FlexibleBundle = Callable[..., Bundle[FlexibleManifest]]


def noise(length: int, height: int = 40, width: int = 50, seed: int = 0) -> Clips:
    return np.random.default_rng(seed).integers(0, 256, (length, height, width, 3), np.uint8)


@pytest.fixture
def network(flexible_bundle: FlexibleBundle) -> Network:
    loaded = load(flexible_bundle("tsm").path, "ort")
    assert isinstance(loaded.family, FrameCountFamily)
    return loaded


class CountsEngine(NumpyMemory):
    """Records the frames of each clip, which are encoded in pixels; is confident from ``confident_at[clip]`` frames."""

    name = "counts"

    def __init__(self, manifest: FlexibleManifest, confident_at: dict[int, int]) -> None:
        self.manifest, self.confident_at = manifest, confident_at
        self.seen: list[tuple[int, int, list[int]]] = []  # clip, frame count and frames used
        self.batches: list[tuple[int, int]] = []  # frame count and number of clips

    def describe(self) -> dict[str, str]:
        return {}

    def run(self, part: str, *inputs: Handle, out: Handle | None = None) -> Handle:
        assert out is None
        (batch,) = inputs
        size = self.manifest.preprocessing.input_size
        if part == "preprocess":
            pixels = np.zeros((len(batch), self.manifest.views, 3, size, size), np.float32)
            pixels[:, :, 0, 0, 0], pixels[:, :, 1, 0, 0] = batch[:, None, 0, 0, 0], batch[:, None, 0, 0, 1]
            return pixels
        count = int(part.removeprefix("frames_"))
        views = self.manifest.views
        assert batch.shape == (len(batch) // views * views, count, 3, size, size)
        self.batches.append((count, len(batch) // views))
        logits = np.zeros((len(batch), self.manifest.classes), np.float32)
        for start in range(0, len(batch), views):
            (clip,) = set(batch[start : start + views, :, 1, 0, 0].ravel().tolist())
            self.seen.append((int(clip), count, batch[start, :, 0, 0, 0].astype(int).tolist()))
            logits[start : start + views, int(clip)] = 100 if count >= self.confident_at[int(clip)] else 0.1
        return logits


def numbered(clip: int, length: int) -> Clips:
    """Return a clip whose frames encode their number and the clip's."""
    frames = np.zeros((length, 8, 8, 3), np.uint8)
    frames[:, 0, 0, 0], frames[:, 0, 0, 1] = np.arange(length), clip
    return frames


SEVERAL = [THROUGHPUT, replace(THROUGHPUT, workers=3), StreamOptions("inflight", 3), StreamOptions("compact", 2, 1)]


@pytest.mark.parametrize("options", [LATENCY, StreamOptions(), *SEVERAL], ids=lambda o: f"{o.schedule}-{o.slots}")
@pytest.mark.parametrize("family", ["tsm", "uniformer"])
def test_a_cascade_continues_while_it_is_not_confident(
    flexible_bundle: FlexibleBundle, family: str, options: StreamOptions
) -> None:
    bundle = flexible_bundle(family)
    manifest = bundle.manifest
    engine = CountsEngine(manifest, {0: 8, 1: 2, 2: 4, 3: 99})
    network = Network(bundle, engine, Cascade((2, 4, 8), 0.9))
    clips = [numbered(clip, 30) for clip in range(4)]
    results = sorted(network.stream(clips, options), key=lambda result: result.clip)
    predictions = [result.prediction for result in results]
    details = [(p.label, p.exit_step, p.frames_used) for p in predictions if p]
    assert details == [(0, 3, 14), (1, 1, 2), (2, 2, 6), (3, 3, 14)]
    tried = [(2, 4, 8), (2,), (2, 4), (2, 4, 8)]
    sampler = SAMPLERS[manifest.sampling]
    expected = [
        (clip, count, list(sampler(30, count, 30, 1)[0])) for clip, counts in enumerate(tried) for count in counts
    ]
    assert sorted(engine.seen) == expected
    assert sum(size for _, size in engine.batches) == len(expected), "no clip may be computed unnecessarily"
    assert max(size for _, size in engine.batches) == min(options.slots, 4)
    for result, counts in zip(results, tried):
        assert result.prediction is not None
        assert result.prediction.macs == sum(manifest.views * manifest.parts[f"frames_{n:02d}"].macs for n in counts)
        assert len(result.scores) == min(len(counts), 2)
        cost = result.cost
        assert cost.read.frames_read == sum(counts)
        assert (cost.head_s, cost.macs_wasted) == (0, 0)
    costs = [result.cost for result in results]
    split = sum(cost.wait_s + cost.backbone_s + cost.scheduling_s for cost in costs)
    assert 0 <= sum(cost.elapsed_s for cost in costs) - split < 0.1, "only time after the last tick may be missing"


def test_an_array_of_the_right_length_is_not_resampled(flexible_bundle: FlexibleBundle) -> None:
    bundle = flexible_bundle("tsm")
    engine = CountsEngine(bundle.manifest, {0: 0})
    network = Network(bundle, engine, FrameCount(8))
    network.predict(numbered(0, 8))
    network.predict(ArrayFrames(numbered(0, 8)))  # a video of 8 frames: the original's rule samples the first one
    network.predict(numbered(0, 5))
    network.predict(numbered(0, 9), frames=4)
    assert engine.seen == [(0, 8, list(range(8))), (0, 8, [0] * 8), (0, 8, [0] * 8), (0, 4, [1, 3, 5, 7])]


def test_a_repeated_frame_is_decoded_once(flexible_bundle: FlexibleBundle) -> None:
    bundle = flexible_bundle("tsm")
    source = ArrayFrames(numbered(0, 3))
    network = Network(bundle, CountsEngine(bundle.manifest, {0: 0}), FrameCount(8))
    (result,) = network.stream([source])
    assert (source.frames_decoded, result.cost.read.frames_read) == (1, 8)


@pytest.mark.parametrize(
    "family", slow_except(["tsm", "slowfast", "uniformer"], ["tsm", "tea", "slowfast", "uniformer"])
)
def test_engines_and_clip_types_agree(flexible_bundle: FlexibleBundle, family: str, tmp_path: Path) -> None:
    bundle = flexible_bundle(family)
    ort, torch = load(bundle.path, "ort"), load(bundle.path, "torch")
    frames = noise(21)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"{number:03d}.png")
    for count in bundle.manifest.frame_counts:
        expected = torch.predict(frames, frames=count)
        assert expected.frames_used == count
        sampled = frames[list(SAMPLERS[bundle.manifest.sampling](21, count, 30, 1)[0])]
        pixels = np.moveaxis(ort.engine.run("preprocess", sampled), 1, 0)
        for clip in (frames, tmp_path, sampled, np.ascontiguousarray(pixels)):
            actual = ort.predict(clip, frames=count)
            np.testing.assert_allclose(actual.logits, expected.logits, rtol=0, atol=1e-4)
            assert (actual.macs, actual.exit_step) == (expected.macs, 1)


@pytest.mark.parametrize("family", slow_except(["tsm"], ["tsm", "uniformer"]))
def test_openvino_loads_the_shared_weights(flexible_bundle: FlexibleBundle, family: str) -> None:
    bundle = flexible_bundle(family, "shared")
    try:
        openvino = load(bundle.path, "openvino")
    except MissingError:
        pytest.skip("openvino is not installed")
    for count in bundle.manifest.frame_counts:
        expected = load(bundle.path, "ort").predict(noise(21), frames=count).logits
        np.testing.assert_allclose(openvino.predict(noise(21), frames=count).logits, expected, rtol=0, atol=1e-3)


def test_normalized_pixels_define_the_frame_count(network: Network) -> None:
    pixels = np.random.default_rng(0).normal(size=(4, 3, 32, 32)).astype(np.float32)
    assert network.predict(pixels).frames_used == 4
    np.testing.assert_array_equal(network.predict(pixels).logits, network.predict(pixels[None], frames=4).logits)


def test_one_crop_or_all_three(flexible_bundle: FlexibleBundle) -> None:
    network = load(flexible_bundle("uniformer").path)
    views = np.random.default_rng(0).normal(size=(3, 4, 3, 64, 64)).astype(np.float32)
    alone = [network.predict(view) for view in views]
    together = network.predict(views)
    np.testing.assert_allclose(together.logits, np.mean([one.logits for one in alone], axis=0), rtol=0, atol=1e-5)
    assert together.macs == 3 * alone[0].macs


@pytest.mark.parametrize(
    ("clip", "words"),
    [
        (
            np.zeros((4, 3, 32, 31), np.float32),
            r"float32 clip has shape \[4, 3, 32, 31\], but tsm.* takes \[4, 3, 32, 32\]",
        ),
        (np.zeros((2, 4, 3, 32, 32), np.float32), r"takes \[4, 3, 32, 32\]"),
        (np.zeros((0, 8, 8, 3), np.uint8), "frames are uint8"),
        (7, "a clip cannot be of type int"),
    ],
)
def test_invalid_clips(network: Network, clip: Any, words: str) -> None:
    with pytest.raises(FrameError, match=words):
        network.predict(clip, frames=4)


def test_pixels_of_an_unavailable_frame_count(network: Network) -> None:
    with pytest.raises(UsageError, match="this bundle has no part for 5 frames"):
        network.predict(np.zeros((5, 3, 32, 32), np.float32))
    (result,) = network.with_policy(Cascade((2, 4))).stream([np.zeros((2, 3, 32, 32), np.float32)])
    assert isinstance(result.error, FrameError)
    assert ", without a cascade" in str(result.error)


def test_a_broken_clip_does_not_affect_others(network: Network, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    clips = [noise(9), tmp_path / "text.mp4", noise(9)]
    for options in (LATENCY, THROUGHPUT):
        results = sorted(network.stream(clips, options), key=lambda result: result.clip)
        assert [result.error is None for result in results] == [True, False, True]
        first, last = results[0].prediction, results[2].prediction
        assert first is not None
        assert last is not None
        np.testing.assert_array_equal(first.logits, last.logits)


def test_lockstep_is_rejected(network: Network) -> None:
    with pytest.raises(UsageError, match="the lockstep schedule works only with FrameExit"):
        next(network.stream([noise(9)], StreamOptions("lockstep", slots=4)))


@pytest.mark.parametrize("family", ["tsm", "uniformer"])
def test_clips_of_different_counts_are_in_flight_together(flexible_bundle: FlexibleBundle, family: str) -> None:
    """A slot is refilled while other clips are at later counts; clips at the same count share a call."""
    bundle = flexible_bundle(family)
    engine = CountsEngine(bundle.manifest, {0: 99, 1: 2, 2: 2, 3: 4})
    network = Network(bundle, engine, Cascade((2, 4, 8), 0.9))
    results = list(network.stream([numbered(clip, 30) for clip in range(4)], StreamOptions("inflight", 2)))
    assert engine.batches == [(2, 2), (2, 1), (4, 1), (2, 1), (8, 1), (4, 1)]
    assert [result.clip for result in results] == [1, 2, 0, 3]


def test_clips_with_one_and_with_several_crops_share_a_call(flexible_bundle: FlexibleBundle) -> None:
    network = load(flexible_bundle("uniformer").path, frames=4)
    rng = np.random.default_rng(0)
    clips = [rng.normal(size=(views, 4, 3, 64, 64)).astype(np.float32) for views in (1, 3, 3, 1)]
    results = sorted(network.stream(clips, StreamOptions("inflight", 4)), key=lambda result: result.clip)
    for clip, result in zip(clips, results):
        alone = network.predict(clip)
        assert result.prediction is not None
        np.testing.assert_allclose(result.prediction.logits, alone.logits, rtol=0, atol=1e-5)
        assert result.prediction.macs == alone.macs


@pytest.mark.parametrize("engine", ["ort", "torch"])
@pytest.mark.parametrize(
    ("family", "counts"),
    slow_except(
        [("tsm", (2, 4)), ("slowfast", (4, 8)), ("uniformer", (8,))],
        [("tsm", (2, 4)), ("tea", (2, 8)), ("slowfast", (4, 8)), ("uniformer", (8,))],
    ),
)
def test_batched_clips_give_the_same_predictions_as_single_clips(
    flexible_bundle: FlexibleBundle, engine: str, family: str, counts: tuple[int, ...]
) -> None:
    options = {"cascade": 0.35} if len(counts) > 1 else {}
    network = load(flexible_bundle(family).path, engine, frames=counts, **options)
    clips = [noise(20, seed=seed) for seed in range(9)]
    alone, together = (
        sorted(network.stream(clips, options), key=lambda result: result.clip)
        for options in (StreamOptions(), StreamOptions("inflight", 4, 1))
    )
    for one, other in zip(alone, together):
        assert one.prediction is not None
        assert other.prediction is not None
        assert (other.prediction.exit_step, other.prediction.label) == (one.prediction.exit_step, one.prediction.label)
        np.testing.assert_allclose(other.prediction.logits, one.prediction.logits, rtol=0, atol=1e-5)
        assert other.prediction.macs == one.prediction.macs


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"frames": 3}, "this bundle has no part for 3 frames, only for 2, 4, 6, 8"),
        ({"frames": (2, 4)}, "requires a confidence threshold"),
        ({"frames": 4, "budget_ms": 5}, "--budget-ms cannot be combined with --frames or --cascade"),
        ({"cascade": 1.5}, "outside"),
        ({"first_threshold": 0.5}, "takes no --first-threshold"),
        ({"gate_threshold": 0.5}, "takes no --gate-threshold"),
        ({"precision": "int8"}, "this bundle has no int8"),
    ],
)
def test_invalid_options(flexible_bundle: FlexibleBundle, options: dict[str, Any], words: str) -> None:
    with pytest.raises(vbench.VbenchError, match=words):
        load(flexible_bundle("tsm").path, **options)


@pytest.mark.parametrize("options", [{"frames": 4}, {"cascade": 0.5}, {"budget_ms": 10}])
def test_a_frameexit_bundle_has_no_frame_counts(tiny_bundle: Bundle[Any], options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"frameexit.* takes no --"):
        load(tiny_bundle.path, **options)


def test_a_frameexit_network_rejects_a_frame_count(tiny_bundle: Bundle[Any]) -> None:
    with pytest.raises(UsageError, match="decides for itself how many frames to read"):
        load(tiny_bundle.path).predict(noise(10), frames=4)


def test_policies_of_load(flexible_bundle: FlexibleBundle) -> None:
    path = flexible_bundle("tsm").path
    policies = [load(path, **options).policy for options in ({}, {"frames": 4}, {"cascade": 0.7})]
    assert policies == [FrameCount(8), FrameCount(4), Cascade((2, 4, 6, 8), 0.7)]
    assert load(path, frames=(2, 8), cascade=0.7).policy == Cascade((2, 8), 0.7)


def test_a_policy_replaces_all_choices(
    flexible_bundle: FlexibleBundle, tiny_bundle: Bundle[Any], tmp_path: Path
) -> None:
    path = flexible_bundle("tsm").path
    assert load(path, policy=Cascade((2, 8), 0.7)).policy == Cascade((2, 8), 0.7)
    assert load(path, policy=RunAll()).policy == Cascade((2, 4, 6, 8), 1.0)
    write_policy(tmp_path / "policy.json", FrameCount(4), {})
    for given in (tmp_path / "policy.json", str(tmp_path / "policy.json")):
        network = load(path, policy=given)
        assert network.policy == FrameCount(4)
        assert network.predict(noise(20)).frames_used == 4
    write_policy(tmp_path / "policy.json", Patience(2), {})
    assert load(tiny_bundle.path, policy=tmp_path / "policy.json").policy == Patience(2)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (
            Confidence(0.5),
            'supports the policies "frames" and "cascade", not "confidence"; pass a policy tuned for this network',
        ),
        (FrameExitPolicy(0.5), 'supports the policies "frames" and "cascade", not "frameexit"'),
        (Cascade((2, 3), 0.5), "this bundle has no part for 3 frames, only for 2, 4, 6, 8"),
    ],
)
def test_policies_of_another_network_are_rejected(flexible_bundle: FlexibleBundle, policy: Policy, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        load(flexible_bundle("tsm").path, policy=policy)


@pytest.mark.parametrize(
    "options", [{"frames": 4}, {"frames": (2, 4), "cascade": 0.5}, {"cascade": 0.5}, {"budget_ms": 10}]
)
def test_a_policy_with_another_choice_is_rejected(flexible_bundle: FlexibleBundle, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"a policy takes no --{next(iter(options)).replace('_', '-')} "):
        load(flexible_bundle("tsm").path, policy=FrameCount(4), **options)


@pytest.mark.parametrize("engine", ["ort", "torch"])
def test_only_the_requested_counts_are_loaded(flexible_bundle: FlexibleBundle, engine: str) -> None:
    network = load(flexible_bundle("tsm").path, engine, frames=4)
    assert network.predict(noise(20)).frames_used == 4
    with pytest.raises(
        UsageError, match="the bundle was loaded only for 4 frames, not for 8; load the bundle without frames="
    ):
        network.predict(noise(20), frames=8)
    with pytest.raises(KeyError):
        network.engine.run("frames_08", np.zeros((1, 8, 3, 32, 32), np.float32))


def times_ms(network: Network) -> dict[int, float]:
    return FAMILY.latency_profile(network).latencies(accept_unsteady=True).times_ms


def setup(network: Network) -> dict[str, Any]:
    return FAMILY.latency_profile(network).setup


@pytest.fixture
def measured(network: Network) -> Network:
    """Return the network with a stored profile of made-up latencies."""
    store(network, (10.0, 20.0, 18.0, 40.0))
    return network


def store(network: Network, times: tuple[float, ...], **about: object) -> None:
    entry = {"times_ms": dict(zip(network.bundle.manifest.frame_counts, times)), **about}
    assert MeasurementStore(network.bundle).put("latencies", setup(network), entry)


def profile(network: Network, *attempts: dict[int, list[float]]) -> LatencyProfile:
    """Return a profile of the network whose measurements are ``attempts``, in order; another one fails."""
    remaining = [iter(attempt.items()) for attempt in attempts]

    def measure_ms(count: int, clips: int) -> list[float]:
        expected, samples = next(remaining[0])
        remaining[:1] = remaining[:1] if expected != 8 else []
        assert (count, clips) == (expected, 10)
        return samples

    return LatencyProfile(network.bundle, network.engine, network.bundle.manifest.frame_counts, measure_ms)


def steady(*times_ms: float) -> dict[int, list[float]]:
    return {count: [time_ms] * 10 for count, time_ms in zip((2, 4, 6, 8), times_ms)}


LOAD = {"date": "2026-01-02T03:04:05+00:00", "load_average": 7.5, "cpus_used": 1.9, "cores": 2}


def test_implausible_latencies_are_measured_again(network: Network) -> None:
    (network.bundle.path / FILE).unlink(missing_ok=True)
    good, inverted = steady(10, 20, 30, 40), steady(10, 50, 30, 40)
    jittery = {**good, 4: [20.0] * 8 + [90.0] * 2}
    found = profile(network, inverted, jittery, good).latencies()
    assert (found.times_ms, found.unsteady) == ({2: 10, 4: 20, 6: 30, 8: 40}, "")
    assert profile(network).latencies() == found  # stored
    entry = MeasurementStore(network.bundle).get("latencies", setup(network))
    assert entry is not None
    assert entry["attempts"] == 3
    assert {"date", "load_average", "cpus_used", "cores"} == set(entry["load"])
    assert entry["versions"]["numpy"] == np.__version__
    again = steady(11, 21, 31, 41)
    assert profile(network, again).latencies(remeasure=True).times_ms == {2: 11, 4: 21, 6: 31, 8: 41}
    assert profile(network).latencies().times_ms[2] == 11


def test_latencies_that_remain_implausible_are_marked(network: Network) -> None:
    (network.bundle.path / FILE).unlink(missing_ok=True)
    attempts = [steady(10, 50, 30, 40), steady(9, 45, 30, 40), steady(10, 60, 30, 40)]
    found = profile(network, *attempts).latencies()
    assert found.unsteady == "4 frames took 45.0 ms, 6 frames 30.0 ms"
    assert found.text().startswith("measured on 20")
    assert found.text().endswith(f"; unsteady: {found.unsteady}")
    assert found.bounds_ms() == {2: 9, 4: 45, 6: 45, 8: 45}
    assert profile(network).latencies(accept_unsteady=True) == found  # for one clip of many
    good = steady(10, 20, 30, 40)
    assert profile(network, good).latencies().unsteady == ""  # every load tries again
    spread = {**good, 8: [30.0] * 8 + [75.0] * 2}
    found = profile(network, spread, spread, spread).latencies(remeasure=True)
    assert found.unsteady == "8 frames took 30.0 ms in half of the repetitions, but up to 75.0 ms in others"


@pytest.mark.parametrize("times", [(10, 50, 30, 40), (10, 20, 30, float("inf")), (10, 20, 30, -1), (0, 20, 30, 40)])
def test_implausible_stored_latencies_are_not_used(network: Network, times: tuple[float, ...]) -> None:
    store(network, times)
    assert profile(network, steady(1, 2, 3, 4)).latencies(accept_unsteady=True).times_ms == {2: 1, 4: 2, 6: 3, 8: 4}


def test_noise_is_plausible(network: Network) -> None:
    store(network, (10.0, 12.0, 11.0, 10.5))
    assert profile(network).latencies().bounds_ms() == {2: 10, 4: 12, 6: 12, 8: 12}
    short = {**steady(1, 3, 3, 3), 2: [1.0] * 8 + [2.9] * 2}  # interruptions of a few ms
    assert profile(network, short).latencies(remeasure=True).unsteady == ""


def test_a_budget_error_names_the_measurement(network: Network) -> None:
    store(network, (10.0, 20.0, 30.0, 40.0), load=LOAD)
    words = (
        r"takes 10.0 ms here \(measured on 2026-01-02 at 03:04 UTC, load average 7.5 on 2 cores\); .* --remeasure, or"
    )
    with pytest.raises(UsageError, match=words) as caught:
        load(network.bundle.path, "ort", budget_ms=1)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=words):
        network.predict(noise(20), budget_ms=1)
    source = load(network.bundle.path, "ort", budget_ms=20).policy_sources["budget_ms"]
    assert source == "measured on 2026-01-02 at 03:04 UTC, load average 7.5 on 2 cores"


def test_latencies_are_remeasured_on_request(network: Network) -> None:
    store(network, (1e6, 2e6, 3e6, 4e6), load=LOAD)
    with pytest.raises(UsageError, match="no frame count fits 100000 ms"):
        load(network.bundle.path, "ort", budget_ms=1e5)
    assert load(network.bundle.path, "ort", budget_ms=1e5, remeasure=True).policy == FrameCount(8)
    assert load(network.bundle.path, "ort", budget_ms=1e5).policy == FrameCount(8)
    with pytest.raises(UsageError, match=r"^--remeasure requires --budget-ms; add --budget-ms, or omit --remeasure"):
        load(network.bundle.path, "ort", remeasure=True)


@pytest.mark.parametrize("load_record", [None, {}, [], {**LOAD, "date": "yesterday"}, {**LOAD, "cores": "many"}])
def test_a_damaged_load_record_is_not_trusted(network: Network, load_record: object) -> None:
    store(network, (10.0, 20.0, 30.0, 40.0), load=load_record)
    assert profile(network, steady(1, 2, 3, 4)).latencies().times_ms[2] == 1


@pytest.mark.parametrize(("budget", "frames"), [(10, 2), (17, 2), (25, 6), (40, 8), (1e9, 8)])
def test_a_budget_selects_the_largest_count_that_fits(measured: Network, budget: float, frames: int) -> None:
    assert measured.predict(noise(20), budget_ms=budget).frames_used == frames
    assert load(measured.bundle.path, "ort", budget_ms=budget).policy == FrameCount(frames)


def test_a_budget_that_is_too_small(measured: Network) -> None:
    with pytest.raises(UsageError, match=r"no frame count fits 1 ms: the fastest, 2 frames, takes 10\.0 ms here"):
        measured.predict(noise(20), budget_ms=1)
    with pytest.raises(UsageError, match="4 frames cannot be combined with a budget of 1 ms"):
        measured.predict(noise(20), frames=4, budget_ms=1)


@pytest.mark.parametrize("entry", [None, {"times_ms": {"2": 1}}, {"times_ms": 3}, {}])
def test_latencies_are_measured_once(network: Network, entry: dict[str, Any] | None) -> None:
    (network.bundle.path / FILE).unlink(missing_ok=True)
    if entry is not None:
        MeasurementStore(network.bundle).put("latencies", setup(network), entry)
    times = times_ms(network)
    assert tuple(times) == network.bundle.manifest.frame_counts
    assert all(time > 0 for time in times.values())
    assert times_ms(network) == times


def test_a_read_only_bundle_is_measured(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    (network.bundle.path / FILE).unlink(missing_ok=True)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refuse)
    assert tuple(times_ms(network)) == network.bundle.manifest.frame_counts
    assert not (network.bundle.path / FILE).exists()
