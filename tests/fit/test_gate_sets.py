"""One bundle with several gate sets: its files, the choice of a set, and equality of replays and runs."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tests.fakes_triton import Request, Server
from tests.in_process import in_process
from tests.networks import save_checkpoint, tiny_network
from tests.replay import DEMO, export_demo
from vbench.bench.datasets.options import DataOptions
from vbench.bench.datasets.synthetic.digits import digit_video
from vbench.bench.explain.explain import explain
from vbench.bench.records.run_file import read_run
from vbench.bench.records.run_folder import RunConfig
from vbench.bench.records.tables import read_predictions
from vbench.bench.run.run import start_run
from vbench.bench.trace.replay import exit_steps, predictions
from vbench.bench.trace.trace_file import read_trace
from vbench.errors import BundleError, CheckpointError, UsageError
from vbench.export.exporter import ExportOptions, export_checkpoint
from vbench.export.triton.repository import write_repository
from vbench.fit.fit_gates import FitOptions, fit_checkpoint
from vbench.runtime.bundle.bundle import open_bundle
from vbench.runtime.bundle.manifest import FrameExitManifest
from vbench.runtime.load import load
from vbench.runtime.policies.choice import PolicyChoice
from vbench.runtime.policies.gates import FrameExitPolicy
from vbench.runtime.policies.registry import policy_of

RECORDED, RUN = 170, 24
NAMES = ("beta_1e-04", "beta_1e-02", "beta_2.5e-01")


class Made(NamedTuple):
    """A folder of gate sets, and the bundle that holds them."""

    gates: Path
    bundle: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("sets")
    plain = export_demo(folder / "bundles")
    config = RunConfig(str(plain), data=DataOptions("demo", limit=RECORDED), trace=True, features=True)
    run = start_run(config, folder / "recorded", "").path
    header = run / "features" / "header.json"
    header.write_text(header.read_text().replace('"validation"', '"training"'))
    options = FitOptions((1e-2, 0.25, 1e-4), epochs=4, threads=1)
    fit_checkpoint(DEMO / "frameexit_demo.pth", run, folder / "gates", options)
    export = ExportOptions(gate_sets=folder / "gates", class_names=folder / "gates" / "classes.txt")
    export_checkpoint(folder / "gates" / "frameexit_demo_beta1e-04.pth", folder / "with_sets", export)
    return Made(folder / "gates", folder / "with_sets")


@pytest.fixture(scope="module")
def trace(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = RunConfig(str(made.bundle), data=DataOptions("demo", limit=RUN), trace=True)
    return start_run(config, tmp_path_factory.mktemp("trace") / "run", "").path


def manifest_of(bundle: Path) -> FrameExitManifest:
    manifest = open_bundle(bundle).manifest
    assert isinstance(manifest, FrameExitManifest)
    return manifest


def test_the_sets_share_everything_but_their_gates(made: Made) -> None:
    manifest = manifest_of(made.bundle)
    assert tuple(manifest.gate_sets) == NAMES
    assert manifest.default_gates == NAMES[0]
    assert len(manifest.parts) == 5 + 2
    for name, spec in manifest.gate_sets.items():
        record = json.loads((made.gates / f"frameexit_demo_{name.replace('_', '')}.json").read_text())
        assert (spec.beta, spec.first_threshold) == (record["beta"], record["first_threshold"])
    gates = {part: spec for part, spec in manifest.parts.items() if part.startswith("gates")}
    assert set(gates) == {"gates", "gates__beta_1e_02", "gates__beta_2_5e_01"}
    assert len({spec.files["fp32"].sha256 for spec in gates.values()}) == 3
    assert "gates__beta_1e_02" in manifest.checks["fp32"].parts


@pytest.mark.parametrize("name", NAMES)
def test_a_replay_equals_a_run_for_every_set(made: Made, trace: Path, tmp_path: Path, name: str) -> None:
    recorded = read_trace(trace)
    config = RunConfig(str(made.bundle), data=DataOptions("demo", limit=RUN), policy=PolicyChoice(gates=name))
    run = start_run(config, tmp_path / "run", "").path
    policy = recorded.set_policies[name]
    assert read_run(run).object("policy").content == policy.record() == recorded.header.gate_sets[name]
    steps, real = exit_steps(policy, recorded), read_predictions(run)
    np.testing.assert_array_equal(real["exit_step"].to_numpy(), steps)
    np.testing.assert_array_equal(real["prediction"].to_numpy(), predictions(recorded, steps))
    np.testing.assert_allclose(real["gmacs"].to_numpy() * 1e9, recorded.macs_at_exit(policy)[steps - 1], rtol=1e-9)


def test_the_sets_differ(trace: Path) -> None:
    recorded = read_trace(trace)
    steps = [exit_steps(recorded.set_policies[name], recorded).mean() for name in NAMES]
    assert steps[0] > steps[1] > steps[2]


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_engines_agree_on_a_set(made: Made, engine: str) -> None:
    clip = np.random.default_rng(0).integers(0, 256, (10, 64, 64, 3), dtype=np.uint8)
    networks = [load(made.bundle, each, gates="beta_2.5e-01") for each in ("ort", engine)]
    expected, found = (network.predict(clip) for network in networks)
    assert found.exit_step == expected.exit_step
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-4)


def test_the_default_is_named_and_only_its_gates_are_loaded(made: Made) -> None:
    network = load(made.bundle, "ort")
    assert network.policy.gate_set == NAMES[0]
    assert network.policy_sources["gate_set"] == "the bundle's default"
    assert not [part for part in network.parts if "__" in part]
    with pytest.raises(UsageError, match=r"gates required by the frameexit policy were not loaded .*; load the bundle"):
        network.with_policy(FrameExitPolicy(0.9, (0.5,), NAMES[1]))
    other = load(made.bundle, "ort", gates=NAMES[2], first_threshold=0.7)
    assert (other.policy.threshold_at(1), other.policy.gate_set) == (0.7, NAMES[2])
    assert "gate_02" not in other.parts


def test_a_policy_names_its_set(made: Made) -> None:
    policy = FrameExitPolicy(0.9, (0.4,), NAMES[1])
    assert policy_of(policy.record(), "here") == policy
    assert load(made.bundle, "ort", policy=policy).policy == policy
    assert "gate_set" not in FrameExitPolicy(0.9).record()
    assert policy.label() == "frameexit first=0.9 gate=0.4 gate_set=beta_1e-02"


def test_unknown_sets_are_rejected(made: Made, tiny_bundle: object, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"there is no gate set 'beta_1'; choose one of {', '.join(NAMES)}"):
        load(made.bundle, "ort", gates="beta_1")
    with pytest.raises(UsageError, match="there is no gate set 'beta_1'; choose"):
        load(made.bundle, "ort", policy=FrameExitPolicy(0.9, (0.5,), "beta_1"))
    with pytest.raises(UsageError, match="the bundle has a single, unnamed set of gates"):
        load(tiny_bundle.path, "ort", gates="beta_1")  # type: ignore[attr-defined]
    config = RunConfig(str(made.bundle), data=DataOptions("demo", limit=1), trace=True)
    with pytest.raises(UsageError, match="--trace takes no --gates"):
        start_run(replace(config, policy=PolicyChoice(gates=NAMES[1])), tmp_path / "run", "")


def test_an_explanation_uses_the_chosen_set(made: Made, trace: Path) -> None:
    recorded = read_trace(trace)
    from vbench.bench.datasets import load_dataset

    video = load_dataset("demo", None).videos[0]
    found = explain(load(made.bundle, "ort", gates=NAMES[1]), video.open, everything=True)
    gates = [step.gate for step in found.steps[1:-1]]
    np.testing.assert_allclose(gates, recorded.gate_values(NAMES[1])[1:-1, 0], atol=1e-6)


def test_a_served_model_holds_one_set(made: Made, tmp_path: Path) -> None:
    bundle = open_bundle(made.bundle)
    made_models = write_repository(bundle, tmp_path / "models", FrameExitPolicy(0.9, (0.5,), NAMES[1]))
    gates = [name for name in made_models.models if "gate" in name]
    assert gates == ["with_sets_gates__beta_1e_02"]
    server = Server(made_models.path, tmp_path / "server")
    clips = [np.ascontiguousarray(digit_video("validation", index)) for index in range(8)]
    for parameters, thresholds in (({}, (0.5,)), ({"gate_threshold": "0.8"}, (0.8,))):
        network = load(made.bundle, "ort", policy=FrameExitPolicy(0.9, thresholds, NAMES[1]))
        answers = server.ask("with_sets", *(Request(clip[None], parameters) for clip in clips))
        expected = [network.predict(clip).exit_step for clip in clips]
        assert [int(answer["EXIT_STEP"][0, 0]) for answer in answers] == expected
    server.close()


def test_the_torch_engine_finds_moved_sets_beside_the_checkpoint(made: Made, tmp_path: Path) -> None:
    moved = shutil.copytree(made.gates, tmp_path / "moved")
    bundle = shutil.copytree(made.bundle, tmp_path / "a" / "bundle")
    checkpoint = moved / "frameexit_demo_beta1e-04.pth"
    assert load(bundle, "torch", gates=NAMES[1], checkpoint=checkpoint).policy.gate_set == NAMES[1]
    (moved / "frameexit_demo_beta1e-02.pth").write_bytes(b"other")
    with pytest.raises(BundleError, match=r"beta1e-02.pth is not the checkpoint that .* was exported from"):
        load(bundle, "torch", gates=NAMES[1], checkpoint=checkpoint)
    assert load(bundle, "torch", checkpoint=checkpoint)


def renamed(record: Path, name: str) -> None:
    record.write_text(json.dumps({**json.loads(record.read_text()), "name": name}))


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda folder: shutil.rmtree(folder), UsageError, "there are no gate sets in"),
        (lambda folder: (folder / "frameexit_demo_beta1e-02.json").unlink(), CheckpointError, "cannot read"),
        (
            lambda folder: (folder / "frameexit_demo_beta1e-02.json").write_text('{"name": "x"}'),
            CheckpointError,
            "is not the record of a gate set: beta: field required",
        ),
        (
            lambda folder: shutil.copy(
                folder / "frameexit_demo_beta1e-04.json", folder / "frameexit_demo_beta1e-02.json"
            ),
            CheckpointError,
            "holds two gate sets named beta_1e-04",
        ),
        (
            lambda folder: renamed(folder / "frameexit_demo_beta1e-02.json", "beta_1e+04"),
            CheckpointError,
            r"parts of the gate sets beta_1e\+04 and beta_1e-04 in .* would have the same names",
        ),
        (
            lambda folder: save_checkpoint(tiny_network(), folder / "frameexit_demo_beta1e-02.pth"),
            CheckpointError,
            "does not have the same trunk and classifiers",
        ),
    ],
)
def test_a_folder_with_other_sets_is_rejected(
    made: Made, tmp_path: Path, damage: object, error: type[Exception], message: str
) -> None:
    folder = shutil.copytree(made.gates, tmp_path / "gates")
    damage(folder)  # type: ignore[operator]
    checkpoint = made.gates / "frameexit_demo_beta1e-04.pth"
    with pytest.raises(error, match=message):
        export_checkpoint(checkpoint, tmp_path / "bundle", ExportOptions(gate_sets=folder))
    assert not (tmp_path / "bundle").exists()


def test_the_checkpoint_must_be_one_of_the_sets(made: Made, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is not one of the gate sets in .*; pass one of them"):
        export_checkpoint(DEMO / "frameexit_demo.pth", tmp_path / "bundle", ExportOptions(gate_sets=made.gates))


def test_commands_name_the_set(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    vbench = in_process(monkeypatch, capsys)
    ended = vbench("run", str(made.bundle), "--dataset", "demo", "--limit", "2", "-o", str(tmp_path / "run"))
    assert "gate set: beta_1e-04 (the bundle's default)" in ended.err
    ended = vbench("inspect", str(made.bundle))
    assert "gate sets    beta_1e-04 (default), beta_1e-02, beta_2.5e-01" in ended.out
    ended = vbench("run", str(made.bundle), "--dataset", "demo", "--gates", "x", "-o", str(tmp_path / "other"))
    assert (ended.code, ended.err.count("\n")) == (2, 1)
