"""The served model gives the same predictions as vbench, per request, on a fake server in this process."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests import fakes_triton
from tests.conftest import FlexibleBundle
from tests.fakes_triton import InferenceResponse, Logger, MetricFamily, RefusedError, Request, Server
from vbench.export.triton.repository import PackageOptions, write_repository
from vbench.export.triton.served.stream_thread import StreamThreads
from vbench.runtime.bundle.bundle import MANIFEST, Bundle, open_bundle
from vbench.runtime.bundle.manifest import FrameExitManifest
from vbench.runtime.load import load
from vbench.runtime.policies.base import Policy
from vbench.runtime.policies.cascade import Cascade
from vbench.runtime.policies.confidence import confidence_and_entropy
from vbench.runtime.policies.gates import FrameExitPolicy
from vbench.runtime.policies.rules import Confidence, Entropy, Fixed, Patience, RunAll
from vbench.runtime.scheduler.results import Prediction

SCHEDULES = ("inflight", "lockstep")
POLICIES: list[Policy] = [
    FrameExitPolicy(0.95),
    FrameExitPolicy(1.0, (0.95,)),
    FrameExitPolicy(0.9, (0.9, 0.98, 1.0, 0.8, 0.05, 0.5, 0.98, 0.2)),
    Confidence(0.99),
    Entropy(0.05),
    Patience(2),
    Fixed(3),
    RunAll(),
]


def noise(length: int, seed: int, height: int = 40, width: int = 50) -> NDArray[np.uint8]:
    """A clip of coarse blocks, some flat and some of high contrast, on which the tiny networks disagree."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (length, 4, 5, 3)) * rng.uniform(0.1, 1)
    frames: NDArray[np.uint8] = (
        blocks.repeat(-(-height // 4), 1).repeat(-(-width // 5), 2).astype(np.uint8)[:, :height, :width]
    )
    return np.ascontiguousarray(frames)


Serve = Callable[..., Server]


def vbench_threads() -> list[str]:
    """Return the names of vbench's threads, without the one that opens clips for this thread."""
    names = [each.name for each in threading.enumerate() if each.name.startswith("vbench-")]
    if "vbench-call" in names:
        names.remove("vbench-call")
    return names


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Return a function that packages a bundle and serves it; afterwards, no thread of a model may be left."""
    servers: list[Server] = []

    def start(bundle: Bundle[Any], policy: Policy, settings: Mapping[str, Any] | None = None, **options: Any) -> Server:
        out = tmp_path / f"repository {len(servers)}"
        made = write_repository(bundle, out, policy, PackageOptions(**options))
        if settings is not None:
            file = out / made.name / "1" / "policy.json"
            file.write_text(json.dumps(json.loads(file.read_text()) | settings))
        servers.append(Server(out, tmp_path / f"server {len(servers)}"))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
    end_s = time.monotonic() + 5
    while left := vbench_threads():
        assert time.monotonic() < end_s, left
        time.sleep(0.01)


def same(response: InferenceResponse, expected: list[Prediction]) -> None:
    assert response["EXIT_STEP"][:, 0].tolist() == [prediction.exit_step for prediction in expected]
    assert response["FRAMES_USED"][:, 0].tolist() == [prediction.frames_used for prediction in expected]
    assert response["CLASS"][:, 0].tolist() == [prediction.label for prediction in expected]
    np.testing.assert_allclose(response["LOGITS"], [prediction.logits for prediction in expected], 1e-5, 1e-5)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.record()["kind"])
def test_frameexit_matches_vbench(
    policy: Policy, schedule: str, tiny_bundle: Bundle[FrameExitManifest], serve: Serve
) -> None:
    network, server = load(tiny_bundle.path, "ort", policy=policy), serve(tiny_bundle, policy, schedule=schedule)
    clips = [noise(10, seed) for seed in range(8)]
    # Frame sizes differ, one request has two clips, and all requests arrive together.
    others = [noise(10, seed, 33, 64) for seed in (20, 21)]
    *alone, pair = server.ask("tiny", *(Request(clip[None]) for clip in clips), Request(np.stack(others)))
    for clip, response in zip(clips, alone):
        same(response, [network.predict(clip)])
    steps = {int(response["EXIT_STEP"][0, 0]) for response in alone}
    assert len(steps) > 1 or isinstance(policy, Fixed | RunAll), "the clips are to be told apart"
    same(pair, [network.predict(clip) for clip in others])


def test_the_batch_shrinks_without_wasted_calls(tiny_bundle: Bundle[FrameExitManifest], serve: Serve) -> None:
    server = serve(tiny_bundle, FrameExitPolicy(0.95, (0.9,)), schedule="lockstep")
    (answer,) = server.ask("tiny", Request(np.stack([noise(10, seed) for seed in range(12)])))
    steps = answer["EXIT_STEP"][:, 0]
    assert len(set(steps.tolist())) > 2, "the clips are to be told apart"
    alive = [int((steps >= step).sum()) for step in range(1, int(steps.max()) + 1)]
    assert server.rows("_backbone") == server.rows("_accumulator") == server.rows("_preprocess") == alive
    assert server.rows("_gates") == alive[1:9]


def test_a_request_joins_clips_that_are_running(tiny_bundle: Bundle[FrameExitManifest], serve: Serve) -> None:
    server, clips = serve(tiny_bundle, FrameExitPolicy(1.0, (1.0,))), [noise(10, seed) for seed in range(2)]
    started, proceed = threading.Event(), threading.Event()
    part = server.part

    def paused(name: str, *rest: Any) -> InferenceResponse:
        if name == "tiny_gates":
            started.set()
            assert proceed.wait(30)
        return part(name, *rest)

    fakes_triton.InferenceRequest.call = paused  # type: ignore[method-assign]
    first, second = Request(clips[0][None]), Request(clips[1][None], {"gate_threshold": 0.99})
    assert server.networks["tiny"].execute([first]) is None
    assert started.wait(30)
    assert server.networks["tiny"].execute([second]) is None
    proceed.set()
    same(first.sender.wait(), [load(tiny_bundle.path, "ort", policy=FrameExitPolicy(1.0, (1.0,))).predict(clips[0])])
    same(second.sender.wait(), [load(tiny_bundle.path, "ort", policy=FrameExitPolicy(1.0, (0.99,))).predict(clips[1])])
    assert max(server.rows("_backbone")) == 2, "both clips share calls, although their thresholds differ"
    assert server.rows("_backbone")[:2] == [1, 1]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_more_rows_than_slots_are_split(flexible_bundle: FlexibleBundle, schedule: str, serve: Serve) -> None:
    bundle = flexible_bundle("tsm")
    server = serve(bundle, Cascade((8,)), slots=3, schedule=schedule)
    clips = [noise(8, seed) for seed in range(3)]
    (answer,) = server.ask(next(iter(server.networks)), Request(np.stack(clips)))
    same(answer, [load(bundle.path, "ort", frames=8).predict(clip) for clip in clips])
    assert server.rows("_preprocess") == [3] * 8


def test_a_request_sets_its_thresholds(tiny_bundle: Bundle[FrameExitManifest], serve: Serve) -> None:
    server, clip = serve(tiny_bundle, FrameExitPolicy(0.95)), noise(10, 1)
    gates = "0.9,0.8,0.7,0.6,0.5,0.4,0.3,0.2"
    asked: list[dict[str, Any]] = [
        {"first_threshold": 1, "gate_threshold": 1.0},
        {"first_threshold": "0", "binary_data_output": True},
        {"gate_threshold": gates},
        {},
    ]
    answers = server.ask("tiny", *(Request(clip[None], parameters) for parameters in asked))
    chosen: list[dict[str, Any]] = [
        {"first_threshold": 1.0, "gate_threshold": 1.0},
        {"first_threshold": 0.0},
        {"gate_threshold": tuple(map(float, gates.split(",")))},
        {"first_threshold": 0.95},
    ]
    for answer, thresholds in zip(answers, chosen):
        same(answer, [load(tiny_bundle.path, "ort", **thresholds).predict(clip)])
    assert [int(answer["EXIT_STEP"][0, 0]) for answer in answers[:2]] == [10, 1]


def test_parameters_complete_the_repository_policy(tiny_bundle: Bundle[FrameExitManifest], serve: Serve) -> None:
    server, clips = serve(tiny_bundle, FrameExitPolicy(0.95, (0.99,))), [noise(10, seed) for seed in range(6)]
    network = load(tiny_bundle.path, "ort", policy=FrameExitPolicy(1.0, (0.99,)))
    answers = server.ask("tiny", *(Request(clip[None], {"first_threshold": "1"}) for clip in clips))
    for clip, answer in zip(clips, answers):
        same(answer, [network.predict(clip)])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_errors_affect_only_their_own_request(
    tiny_bundle: Bundle[FrameExitManifest], schedule: str, serve: Serve
) -> None:
    server, clip = serve(tiny_bundle, FrameExitPolicy(0.5), schedule=schedule), noise(10, 1)
    bad = [
        ({"first_threshold": "high"}, "the parameter first_threshold is 'high', which is not a number; pass a number"),
        ({"first_threshold": 1.5}, "first threshold 1.5 is outside [0, 1]; choose a value from 0 to 1"),
        ({"gate_threshold": "nan"}, "gate threshold nan is outside [0, 1]; choose a value from 0 to 1"),
        ({"gate_threshold": "0.5,0.5"}, "got 2 gate thresholds for a network with 8 gates; pass 1 threshold, or 8"),
        ({"first_threshold": "0.5,0.5"}, "the parameter first_threshold takes 1 number, got 2; pass one number"),
        (
            {"frames": 4},
            "the parameter frames does not apply to this model, whose policy is frameexit; pass first_threshold or",
        ),
    ]
    answers = server.ask("tiny", *(Request(clip[None], parameters) for parameters, _ in bad), Request(clip[None]))
    for answer, (_, words) in zip(answers, bad):
        assert answer.said().startswith(words)
    same(answers[-1], [load(tiny_bundle.path, "ort", first_threshold=0.5).predict(clip)])
    # Shapes that the server accepts, or would accept without its checks.
    for frames in (np.zeros((1, 10, 0, 8, 3), np.uint8), clip, clip[None].astype(np.float32), clip[None, ..., :2]):
        assert "FRAMES" in execute(server, "tiny", Request(np.ascontiguousarray(frames))).said()
    said = execute(server, "tiny", Request(clip[None], name="OTHER")).said()
    assert said == "FRAMES must be uint8 [clips, T, H, W, 3]; send decoded RGB frames"
    with pytest.raises(RefusedError, match="expected"):
        server.ask("tiny", Request(clip[None, :9]))


def execute(server: Server, name: str, request: Request) -> InferenceResponse:
    """Pass a request to the model without the server's checks."""
    responses = server.networks[name].execute([request])
    return request.sender.wait() if responses is None else responses[0]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_only_requested_outputs_are_returned(
    tiny_bundle: Bundle[FrameExitManifest], schedule: str, serve: Serve
) -> None:
    server, request = serve(tiny_bundle, FrameExitPolicy(0.5), schedule=schedule), Request(noise(10, 1)[None])
    request.outputs = ["EXIT_STEP", "CLASS"]
    (answer,) = server.ask("tiny", request)
    assert set(answer.tensors) == {"EXIT_STEP", "CLASS"}


def test_a_response_that_cannot_be_built_is_an_error(
    tiny_bundle: Bundle[FrameExitManifest], serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, request = serve(tiny_bundle, FrameExitPolicy(0.5)), Request(noise(10, 1)[None])
    monkeypatch.setattr(request, "requested_output_names", lambda: 1 / 0)
    (answer,) = server.ask("tiny", request)
    assert answer.said() == "the response cannot be sent: ZeroDivisionError: division by zero"


def test_clips_that_cannot_be_submitted_are_an_error(
    tiny_bundle: Bundle[FrameExitManifest], serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(tiny_bundle, FrameExitPolicy(0.5))
    monkeypatch.setattr(StreamThreads, "submit", lambda *_: 1 / 0)
    (answer,) = server.ask("tiny", Request(noise(10, 1)[None]))
    assert answer.said() == "ZeroDivisionError: division by zero; report it"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("first_treshold", "there is no parameter first_treshold; did you mean first_threshold?"),
        ("gates", "there is no parameter gates; pass first_threshold or gate_threshold or frames or cascade"),
        ("budget_ms", "there is no parameter budget_ms; pass first_threshold or"),
    ],
)
def test_a_misspelled_parameter_is_an_error(
    name: str, said: str, tiny_bundle: Bundle[FrameExitManifest], serve: Serve
) -> None:
    server = serve(tiny_bundle, FrameExitPolicy(0.95))
    clip = noise(10, 0)[None]
    wrong, other = server.ask("tiny", Request(clip, {name: 1}), Request(clip, {"priority": 1}))
    assert wrong.said().startswith(said)
    assert wrong.error().code == fakes_triton.TritonError.INVALID_ARG
    assert not other.has_error(), "servers and clients have parameters of their own"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"schedule": "foo"}, "an invalid schedule: 'foo'"),
        ({"slots": "x"}, "an invalid slots: 'x'"),
        ({"slots": 0}, "an invalid slots: 0"),
        ({"rows": 0}, "an invalid rows: 0"),
        ({"limit_s": "a"}, "an invalid limit_s: 'a'"),
        ({"models": {}}, "an invalid models: {}"),
        ({"models": []}, "an invalid models: []"),
        ({"choice": {}}, "an invalid choice"),
        ({"choice": []}, "an invalid choice: []"),
        ({"policy": {"kind": "cascade", "counts": [4, 8], "threshold": 0.5}}, "has no frame counts to choose from"),
        ({"schema_version": "2"}, "has schema version '2', not 2"),
        ({"more": 1}, "does not have the fields of schema version 2"),
    ],
)
def test_edited_settings_are_refused(
    settings: dict[str, Any], said: str, tiny_bundle: Bundle[FrameExitManifest], serve: Serve
) -> None:
    with pytest.raises(fakes_triton.TritonModelException) as raised:
        serve(tiny_bundle, FrameExitPolicy(0.95), settings)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_policy_without_parameters_rejects_them(tiny_bundle: Bundle[FrameExitManifest], serve: Serve) -> None:
    server = serve(tiny_bundle, Confidence(0.7))
    (answer,) = server.ask("tiny", Request(noise(10, 1)[None], {"first_threshold": 0.5}))
    words = "the parameter first_threshold does not apply to this model, whose policy is confidence; omit it"
    assert answer.said() == words


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_missing_part_fails_only_the_clips_that_need_it(
    tiny_bundle: Bundle[FrameExitManifest], schedule: str, serve: Serve
) -> None:
    server = serve(tiny_bundle, FrameExitPolicy(1.0), schedule=schedule)
    del server.sessions["tiny_gates"]
    clips = [noise(10, seed) for seed in range(3)]
    early, late, both = server.ask(
        "tiny",
        Request(clips[0][None], {"first_threshold": 0}),
        Request(clips[1][None], {"first_threshold": 1}),
        Request(np.stack(clips), {"first_threshold": 1}),
    )
    assert not early.has_error()
    words = "the model tiny_gates failed: model 'tiny_gates' is not ready; see the log of the server"
    assert late.said() == both.said() == words
    (again,) = server.ask("tiny", Request(clips[0][None], {"first_threshold": 0}))
    same(again, [load(tiny_bundle.path, "ort", first_threshold=0.0).predict(clips[0])])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_values_that_are_not_finite_fail_their_clip(
    tiny_bundle: Bundle[FrameExitManifest], schedule: str, serve: Serve
) -> None:
    server = serve(tiny_bundle, FrameExitPolicy(1.0, (1.0,)), schedule=schedule)
    session = server.sessions["tiny_classifiers"]

    def first_is_nan(inputs: Mapping[str, Any]) -> Any:
        (logits,) = session.run(None, dict(inputs))
        logits[:1][inputs["step"][:1, 0] == 10] = np.nan
        return logits

    server.failures["tiny_classifiers"] = first_is_nan
    clips = [noise(10, seed) for seed in range(2)]
    if schedule == "inflight":
        (answer,) = server.ask("tiny", Request(np.stack(clips)))
        assert answer.said().startswith("step 10: the logits are not finite (NaN); ")
        return
    failed, other = server.ask("tiny", *(Request(clip[None]) for clip in clips))
    assert failed.said().startswith("step 10: the logits are not finite (NaN); ")
    same(other, [load(tiny_bundle.path, "ort", policy=FrameExitPolicy(1.0, (1.0,))).predict(clips[1])])


def test_a_part_of_another_shape_is_an_error(tiny_bundle: Bundle[FrameExitManifest], serve: Serve) -> None:
    server = serve(tiny_bundle, FrameExitPolicy(1.0, (1.0,)))
    server.failures["tiny_classifiers"] = lambda inputs: np.zeros((len(inputs["state"]), 3), np.float32)
    (answer,) = server.ask("tiny", Request(noise(10, 1)[None]))
    words = "the model tiny_classifiers returned logits float32 [1, 3] instead of logits float32 [1, 5]; write"
    assert answer.said().startswith(words)


def pause_parts(server: Server) -> threading.Event:
    """Let calls of parts wait until the returned event is set."""
    proceed = threading.Event()

    def paused(*call: Any) -> InferenceResponse:
        assert proceed.wait(30)
        return server.part(*call)

    fakes_triton.InferenceRequest.call = paused  # type: ignore[method-assign]
    return proceed


def test_a_request_that_takes_too_long_is_answered(tiny_bundle: Bundle[FrameExitManifest], serve: Serve) -> None:
    server = serve(tiny_bundle, FrameExitPolicy(1.0, (1.0,)), {"limit_s": 0.3, "slots": 1})
    proceed = pause_parts(server)
    running, queued, third = (Request(noise(10, seed)[None]) for seed in range(3))
    server.networks["tiny"].execute([running, queued, third])
    for request in (running, queued):
        words = "not answered within 0.3 s; send fewer clips at a time, or see the server's log"
        assert request.sender.wait().said() == words
    assert third.sender.wait().said() == "no slot became free within 0.3 s; send requests less often"
    assert third.sender.wait().error().code == fakes_triton.TritonError.UNAVAILABLE
    assert MetricFamily.values("vbench_clips_failed_total") == {"": 2}
    fakes_triton.InferenceRequest.call = server.part  # type: ignore[method-assign]
    for _ in range(4):  # although the call of the first stream has not returned
        (answer,) = server.ask("tiny", Request(noise(10, 1)[None], {"first_threshold": 0}))
        assert not answer.has_error()
    assert sum("a new stream takes its place" in line for line in fakes_triton.Logger.warnings) == 1
    proceed.set()


def test_a_canceled_request_ends_early(
    tiny_bundle: Bundle[FrameExitManifest], serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vbench.export.triton.served.inflight._CANCEL_AFTER_S", 0.0)
    server, request = serve(tiny_bundle, FrameExitPolicy(1.0, (1.0,))), Request(noise(10, 1)[None])
    proceed = pause_parts(server)
    server.networks["tiny"].execute([request])
    request.sender.canceled = True
    assert request.sender.wait().said() == "the client canceled the request; send it again"
    proceed.set()
    server.networks["tiny"].finalize()
    assert server.rows("_backbone") == [1]
    assert MetricFamily.values("vbench_clips_failed_total") == {"": 1}


def test_unloading_answers_what_is_left(
    tiny_bundle: Bundle[FrameExitManifest], serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vbench.export.triton.served.inflight._CLOSE_LIMIT_S", 0.2)
    server, request = serve(tiny_bundle, FrameExitPolicy(1.0, (1.0,))), Request(noise(10, 1)[None])
    proceed = pause_parts(server)
    server.networks["tiny"].execute([request])
    server.networks["tiny"].finalize()
    assert request.sender.wait().said() == "the model was unloaded; send the request again"
    proceed.set()


def test_few_streams_serve_many_policies(flexible_bundle: FlexibleBundle, serve: Serve) -> None:
    bundle, clip = flexible_bundle("tsm"), noise(20, 1)
    server = serve(bundle, Cascade((2,)))
    name = next(iter(server.networks))
    counts = ["2", "4", "6", "8", "2,4", "2,6", "2,8", "4,6", "4,8", "6,8", "2,4,6", "2,4,8", "2,6,8", "4,6,8", "2"]
    parameters = [{"frames": each, "cascade": "0.3"} for each in counts]
    answers = server.ask(name, *(Request(clip[None], each) for each in parameters))
    for each, answer in zip(counts, answers):
        network = load(bundle.path, "ort", frames=tuple(map(int, each.split(","))), cascade=0.3)
        same(answer, [network.predict(clip)])
    assert sum(each.name == "vbench-stream" for each in threading.enumerate()) <= 9


def test_a_server_without_deferred_responses_is_reported(tiny_bundle: Bundle[FrameExitManifest], serve: Serve) -> None:
    server = serve(tiny_bundle, FrameExitPolicy(0.5))
    (answer,) = server.networks["tiny"].execute([Request(noise(10, 1)[None], deferred=False)])
    assert answer.said() == (
        "this server cannot send a response after execute has returned (get_response_sender is for decoupled models); "
        "use a newer release, or package with --schedule lockstep"
    )


def test_clips_are_counted(tiny_bundle: Bundle[FrameExitManifest], serve: Serve) -> None:
    server = serve(tiny_bundle, FrameExitPolicy(0.95, (0.9,)), schedule="lockstep")
    (answer,) = server.ask("tiny", Request(np.stack([noise(10, seed) for seed in range(12)])))
    steps = answer["EXIT_STEP"][:, 0].tolist()
    assert MetricFamily.values("vbench_clips_total") == {str(step): steps.count(step) for step in sorted(set(steps))}
    assert MetricFamily.values("vbench_frames_used_total") == {"": sum(steps)}
    assert MetricFamily.values("vbench_clips_failed_total") == {}


def test_a_server_without_metrics_serves(
    tiny_bundle: Bundle[FrameExitManifest], serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MetricFamily, "available", False)
    server = serve(tiny_bundle, FrameExitPolicy(0.5))
    assert Logger.warnings[-1] == "tiny: clips are not counted, because metrics are off: metrics are off"
    assert not server.ask("tiny", Request(noise(10, 1)[None]))[0].has_error()


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("family", ["tsm", "uniformer"])
def test_flexible_matches_vbench(family: str, schedule: str, flexible_bundle: FlexibleBundle, serve: Serve) -> None:
    bundle = flexible_bundle(family)
    server = serve(bundle, Cascade((2,)), schedule=schedule)
    name = next(iter(server.networks))
    clips = [noise(length, length, 70, 90) for length in (1, 2, 5, 8, 19)]
    for parameters, chosen in [
        (None, {"frames": 2}),
        ({"frames": 4}, {"frames": 4}),
        ({"frames": "8"}, {"frames": 8}),
        ({"cascade": 0.3}, {"cascade": 0.3}),
        ({"frames": "2,4", "cascade": "1"}, {"frames": (2, 4), "cascade": 1.0}),
    ]:
        network = load(bundle.path, "ort", **chosen)
        for clip, answer in zip(clips, server.ask(name, *(Request(clip[None], parameters) for clip in clips))):
            same(answer, [network.predict(clip)])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_cascade_continues_for_uncertain_clips(flexible_bundle: FlexibleBundle, schedule: str, serve: Serve) -> None:
    bundle = flexible_bundle("tsm")
    clips = [noise(20, seed) for seed in range(8)]
    certain = sorted(
        confidence_and_entropy(load(bundle.path, "ort", frames=2).predict(clip).logits)[0] for clip in clips
    )
    policy = Cascade((2, 4, 8), (certain[3] + certain[4]) / 2)
    server, network = serve(bundle, policy, schedule=schedule), load(bundle.path, "ort", policy=policy)
    name = next(iter(server.networks))
    (answer,) = server.ask(name, Request(np.stack(clips)))
    same(answer, [network.predict(clip) for clip in clips])
    assert sum(int(step) == 1 for step in answer["EXIT_STEP"][:, 0]) == 4
    assert server.rows("_frames_02") == [8]
    assert server.rows("_frames_04") == [4]
    assert server.rows("_preprocess")[0] == 16, "the frames of all clips share a call"


def test_flexible_errors(flexible_bundle: FlexibleBundle, serve: Serve) -> None:
    server = serve(flexible_bundle("tsm"), Cascade((2, 4), 0.5))
    name = next(iter(server.networks))
    bad: list[tuple[dict[str, Any], str]] = [
        ({"frames": 3}, "this bundle has no part for 3 frames, only for 2, 4, 6, 8; "),
        ({"frames": "4,2", "cascade": 1}, "frame counts [4, 2] are not ascending; "),
        ({"frames": 2.5}, "the parameter frames is 2.5, which is not an integer; "),
        ({"frames": "2,4"}, "choosing between the frame counts [2, 4] requires a confidence threshold; "),
        ({"cascade": "0.5,0.6"}, "the parameter cascade takes 1 number, got 2; "),
        (
            {"first_threshold": 0.5},
            "the parameter first_threshold does not apply to this model, whose policy is cascade; pass frames or",
        ),
    ]
    answers = server.ask(name, *(Request(noise(4, 0)[None], parameters) for parameters, _ in bad))
    for answer, (_, words) in zip(answers, bad):
        assert answer.said().startswith(words)


def test_class_names(tiny_bundle: Bundle[FrameExitManifest], tmp_path: Path, serve: Serve) -> None:
    names = ["ångström", 'a "quote" one', "c\\d", "e\nf", "g"]
    path = tmp_path / "odd name,ü"
    shutil.copytree(tiny_bundle.path, path)
    content = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps(content | {"class_names": names}))
    server = serve(open_bundle(path), FrameExitPolicy(0.5))
    (answer,) = server.ask("odd_name__", Request(noise(10, 0)[None]))
    assert answer["CLASS_NAME"][0, 0] == names[answer["CLASS"][0, 0]].encode()
