"""The packaged repositories on a real Triton server: every answer is compared with vbench's own."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.bundle_cache import cached_export
from tests.replay import DEMO
from tests.triton_server import Asked, ServerError, TritonServer, ask, environment, free_ports, serving
from tools.triton_env import NUMPY_2
from vbench.bench.datasets.synthetic.digits import digit_video
from vbench.bench.datasets.synthetic.motion import motion_video
from vbench.export.exporter import ExportOptions
from vbench.export.triton.repository import PackageOptions, write_repository
from vbench.runtime.bundle.bundle import Bundle, open_bundle
from vbench.runtime.load import load
from vbench.runtime.policies.base import Policy
from vbench.runtime.policies.cascade import Cascade
from vbench.runtime.policies.gates import FrameExitPolicy
from vbench.runtime.scheduler.results import Prediction

pytestmark = pytest.mark.server
CLIPS = 200
CASCADE = Cascade((4, 8, 16), 0.9)
NAN_PART = """\
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        rows = [len(each.inputs()[0].as_numpy()) for each in requests]
        nans = [pb_utils.Tensor("OUTPUT", np.full((each, CLASSES), np.nan, np.float32)) for each in rows]
        return [pb_utils.InferenceResponse([each]) for each in nans]
"""


def same(answer: dict[str, Any], expected: Sequence[Prediction]) -> None:
    assert "error" not in answer, answer["error"]
    assert answer["EXIT_STEP"][:, 0].tolist() == [each.exit_step for each in expected]
    assert answer["FRAMES_USED"][:, 0].tolist() == [each.frames_used for each in expected]
    assert answer["CLASS"][:, 0].tolist() == [each.label for each in expected]
    assert answer["CLASS_NAME"][:, 0].tolist() == [each.name for each in expected]
    np.testing.assert_allclose(answer["LOGITS"], [each.logits for each in expected], 1e-5, 1e-5)


def exported(checkpoint: str, classes: str, folder: Path, **options: Any) -> Bundle[Any]:
    shutil.copy(DEMO / checkpoint, folder)
    chosen = ExportOptions(input_size=64, class_names=DEMO / classes, **options)
    return cached_export(folder / checkpoint, folder / "bundles" / checkpoint.removesuffix(".pth"), chosen)


@pytest.fixture(scope="module")
def frameexit(tmp_path_factory: pytest.TempPathFactory) -> Bundle[Any]:
    return exported("frameexit_demo.pth", "classes.txt", tmp_path_factory.mktemp("frameexit"))


@pytest.fixture(scope="module")
def tsm(tmp_path_factory: pytest.TempPathFactory) -> Bundle[Any]:
    folder = tmp_path_factory.mktemp("tsm")
    return exported("tsm_ffn_demo.pth", "motion_classes.txt", folder, frames=(4, 8, 16))


def package(bundle: Bundle[Any], name: str, policy: Policy, models: Path, scratch: Path, **options: Any) -> None:
    """Add a bundle to the folder of models under a name of its own."""
    shutil.copytree(bundle.path, scratch / name)
    made = write_repository(
        open_bundle(scratch / name), scratch / f"{name}_repository", policy, PackageOptions(parts="python", **options)
    )
    for model in made.models:
        (made.path / model).rename(models / model)


@pytest.fixture(scope="module")
def server(
    frameexit: Bundle[Any], tsm: Bundle[Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TritonServer]:
    """Serve FrameExit and TSM in flight, TSM in lockstep, and TSM with a broken and a missing part."""
    venv, folder = environment(), tmp_path_factory.mktemp("server")
    models = folder / "models"
    models.mkdir()
    package(frameexit, "frameexit", FrameExitPolicy(0.95), models, folder)
    package(tsm, "tsm", CASCADE, models, folder)
    package(tsm, "lockstep", CASCADE, models, folder, schedule="lockstep")
    package(tsm, "broken", CASCADE, models, folder)
    output = tsm.manifest.parts["frames_08"].output.name
    stub = NAN_PART.replace("CLASSES", str(tsm.manifest.classes)).replace("OUTPUT", output)
    (models / "broken_frames_08" / "1" / "model.py").write_text(stub)
    shutil.rmtree(models / "broken_frames_16")
    with serving(models, folder / "server.log", venv) as running:
        yield running


def digit_clips(count: int) -> list[NDArray[np.uint8]]:
    return [digit_video("validation", index) for index in range(count)]


def motion_clips(count: int) -> list[NDArray[np.uint8]]:
    """Return clips of different lengths."""
    return [motion_video("validation", index)[: 30 - index % 15] for index in range(count)]


@pytest.fixture(scope="module")
def digits(frameexit: Bundle[Any]) -> tuple[list[NDArray[np.uint8]], list[Prediction]]:
    clips, network = digit_clips(CLIPS), load(frameexit.path, "ort", policy=FrameExitPolicy(0.95))
    return clips, [network.predict(clip) for clip in clips]


@pytest.fixture(scope="module")
def motions(tsm: Bundle[Any]) -> tuple[list[NDArray[np.uint8]], list[Prediction]]:
    clips, network = motion_clips(CLIPS), load(tsm.path, "ort", policy=CASCADE)
    return clips, [network.predict(clip) for clip in clips]


def batches(model: str, clips: Sequence[NDArray[np.uint8]], sizes: Sequence[int]) -> tuple[list[Asked], list[slice]]:
    """Divide clips of the same length into requests of these sizes, over and over; return them and their clips."""
    requests, places, start = list[Asked](), list[slice](), 0
    while start < len(clips):
        size = next(size for size in (sizes[len(requests) % len(sizes)], 1) if alike(clips[start : start + size]))
        places.append(slice(start, min(start + size, len(clips))))
        requests.append(Asked(model, np.stack(clips[places[-1]])))
        start = places[-1].stop
    return requests, places


def alike(clips: Sequence[NDArray[np.uint8]]) -> bool:
    return len({clip.shape for clip in clips}) == 1


@pytest.mark.parametrize("clients", [1, 8])
def test_frameexit_answers_like_vbench(
    clients: int,
    server: TritonServer,
    digits: tuple[list[NDArray[np.uint8]], list[Prediction]],
    tmp_path: Path,
) -> None:
    clips, expected = digits
    assert {each.exit_step for each in expected} == set(range(1, 11))
    requests, places = batches("frameexit", clips, (8, 3) if clients == 1 else (1, 1, 2, 1, 5))
    for answer, place in zip(ask(server, requests, tmp_path, clients), places, strict=True):
        same(answer, expected[place])


@pytest.mark.parametrize("model", ["tsm", "lockstep"])
def test_tsm_answers_like_vbench(
    model: str,
    server: TritonServer,
    motions: tuple[list[NDArray[np.uint8]], list[Prediction]],
    tmp_path: Path,
) -> None:
    clips, expected = motions
    assert {each.exit_step for each in expected} >= {2, 3}
    requests, places = batches(model, clips, (1,))
    for answer, place in zip(ask(server, requests, tmp_path, clients=8), places, strict=True):
        same(answer, expected[place])


def test_clips_of_any_number_of_frames(server: TritonServer, tsm: Bundle[Any], tmp_path: Path) -> None:
    clips, network = [motion_video("validation", index)[:count] for index, count in enumerate((1, 2, 4, 16))], {}
    for frames in (4, 8, 16):
        network[frames] = load(tsm.path, "ort", frames=frames)
    cases = [(clip, frames) for clip in clips for frames in network]
    answers = ask(server, [Asked("tsm", clip[None], {"frames": frames}) for clip, frames in cases], tmp_path, 4)
    for answer, (clip, frames) in zip(answers, cases, strict=True):
        same(answer, [network[frames].predict(clip)])


def test_parameters(server: TritonServer, frameexit: Bundle[Any], tmp_path: Path) -> None:
    cases: list[tuple[dict[str, object], FrameExitPolicy]] = [
        ({"first_threshold": "1", "gate_threshold": "0.9"}, FrameExitPolicy(1.0, (0.9,))),
        ({"gate_threshold": 0.7}, FrameExitPolicy(0.95, (0.7,))),
        ({"first_threshold": 0}, FrameExitPolicy(0.0)),
        ({"gate_threshold": "1,1,1,1,1,0.5,0.5,0.5"}, FrameExitPolicy(0.95, (1.0,) * 5 + (0.5,) * 3)),
    ]
    clips = digit_clips(10)
    pairs = [(clip, parameters, policy) for clip in clips for parameters, policy in cases]
    requests = [Asked("frameexit", clip[None], parameters) for clip, parameters, _ in pairs]
    for answer, (clip, _, policy) in zip(ask(server, requests, tmp_path, 8), pairs, strict=True):
        same(answer, [load(frameexit.path, "ort", policy=policy).predict(clip)])


@pytest.mark.parametrize("model", ["tsm", "lockstep"])
def test_outputs_that_are_not_requested_are_left_out(
    model: str, server: TritonServer, tsm: Bundle[Any], tmp_path: Path
) -> None:
    clips = motion_clips(20)
    answers = ask(server, [Asked(model, clip[None], outputs=("EXIT_STEP",)) for clip in clips], tmp_path, 4)
    network = load(tsm.path, "ort", policy=CASCADE)
    for answer, clip in zip(answers, clips, strict=True):
        assert set(answer) == {"EXIT_STEP", "times"}
        assert answer["EXIT_STEP"].tolist() == [[network.predict(clip).exit_step]]


def test_a_bad_request_fails_alone(server: TritonServer, frameexit: Bundle[Any], tmp_path: Path) -> None:
    clip = digit_clips(1)[0][None]
    cases = [
        (Asked("frameexit", clip[:, :9]), "unexpected shape for input 'FRAMES'"),
        (Asked("frameexit", clip[:, :1]), "unexpected shape for input 'FRAMES'"),
        (Asked("frameexit", clip[..., :2].copy()), "unexpected shape for input 'FRAMES'"),
        (Asked("frameexit", np.repeat(clip, 33, axis=0)), "inference request batch-size must be <= 32"),
        (Asked("frameexit", clip, {"first_threshold": "7"}), "first threshold 7.0 is outside [0, 1]"),
        (Asked("frameexit", clip, {"frames": 4}), "the parameter frames does not apply to this model"),
        (Asked("tsm", clip, {"frames": "5"}), "this bundle has no part for 5 frames, only for 4, 8, 16"),
    ]
    good = Asked("frameexit", clip)
    answers = ask(server, [each for case, _ in cases for each in (case, good)], tmp_path, clients=4)
    expected = load(frameexit.path, "ort", policy=FrameExitPolicy(0.95)).predict(clip[0])
    for answer, (_, words) in zip(answers[::2], cases, strict=True):
        assert words in str(answer["error"])
        assert "\n" not in str(answer["error"])
        assert answer["status"] == "400"
    for answer in answers[1::2]:
        same(answer, [expected])


def test_a_broken_part_fails_only_what_needs_it(server: TritonServer, tsm: Bundle[Any], tmp_path: Path) -> None:
    clips, expected = motion_clips(12), load(tsm.path, "ort", frames=4)
    cases = [(clip, {4: "", 8: "not finite (NaN)", 16: "the model broken_frames_16 "}) for clip in clips]
    asked = [(clip, frames, words[frames]) for clip, words in cases for frames in words]
    requests = [Asked("broken", clip[None], {"frames": frames}) for clip, frames, _ in asked]
    for answer, (clip, _, words) in zip(ask(server, requests, tmp_path, clients=6), asked, strict=True):
        if not words:
            same(answer, [expected.predict(clip)])
            continue
        assert words in str(answer["error"])
        assert "\n" not in str(answer["error"])


def test_metrics_count_clips(
    server: TritonServer, digits: tuple[list[NDArray[np.uint8]], list[Prediction]], tmp_path: Path
) -> None:
    clips, expected = digits[0][:20], digits[1][:20]
    before = server.metrics()
    broken = Asked("broken", motion_clips(1)[0][None], {"frames": 8})
    ask(server, [Asked("frameexit", np.stack(clips)), broken], tmp_path)
    counted = {name: value - before.get(name, 0) for name, value in server.metrics().items() if "vbench" in name}
    steps = [each.exit_step for each in expected]
    for step in range(1, 11):
        assert counted[f'vbench_clips_total{{exit_step="{step}",model="frameexit"}}'] == steps.count(step)
    assert counted['vbench_frames_used_total{model="frameexit"}'] == sum(each.frames_used for each in expected)
    assert counted['vbench_clips_failed_total{model="broken"}'] == 1


def alone(bundle: Bundle[Any], ending: str, folder: Path) -> Path:
    """Return a repository with one of a bundle's models, which loads quickly: the network, or a part by its ending."""
    write_repository(bundle, folder / "all", CASCADE, PackageOptions(parts="python"))
    (folder / "one").mkdir()
    (folder / "all" / (bundle.name + ending)).rename(folder / "one" / (bundle.name + ending))
    return folder / "one"


@pytest.fixture
def network_alone(tsm: Bundle[Any], tmp_path: Path) -> Path:
    return alone(tsm, "", tmp_path)


def test_a_model_that_does_not_load_is_reported(network_alone: Path, tmp_path: Path) -> None:
    next(network_alone.rglob("policy.json")).write_text("{}")
    words = r"the server ended with 1: .*policy\.json has schema version None, not 2; write the repository again"
    with pytest.raises(ServerError, match=words), serving(network_alone, tmp_path / "log", environment()):
        pass


def test_a_port_in_use_is_reported(network_alone: Path, tmp_path: Path) -> None:
    http, metrics = free_ports(2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", http))
        taken.listen()
        with (
            pytest.raises(ServerError, match=r"Unavailable - Socket '127\.0\.0\.1:\d+' already in use"),
            serving(network_alone, tmp_path / "log", environment(), (http, metrics)),
        ):
            pass


@pytest.mark.parametrize("ending", ["", "_preprocess"])
def test_numpy_2_is_refused(ending: str, tsm: Bundle[Any], tmp_path: Path) -> None:
    words = r"this server's Python backend reads arrays of NumPy 2[0-9.]* wrongly; install .*numpy<2.* in the"
    models = alone(tsm, ending, tmp_path)
    with (
        pytest.raises(ServerError, match=words),
        serving(models, tmp_path / "log", environment(), packages=environment(NUMPY_2)),
    ):
        pass
