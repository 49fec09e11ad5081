"""The engine trt on stand-ins for TensorRT, PyCUDA and cuda-python, which compute on the CPU and refuse misuse."""

from __future__ import annotations

import gc
import inspect
import json
import multiprocessing
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest

from tests import test_engines
from tests.conftest import FlexibleBundle
from tests.standins import install, load_api, names_used
from tests.test_run import save_dataset
from vbench.bench.record import RunConfig
from vbench.bench.run import start_run
from vbench.cli.main import main
from vbench.errors import BundleError, CheckError, MissingError, UsageError, VbenchError
from vbench.runtime.bundle import Bundle, open_bundle
from vbench.runtime.engine import EngineOptions, load_engine
from vbench.runtime.load import load
from vbench.runtime.options import StreamOptions
from vbench.runtime.policy import FrameExitPolicy
from vbench.runtime.prediction import Prediction
from vbench.runtime.trt_layers import check_layers, multiplying
from vbench.runtime.trt_load import build_plans

CLIPS = 16
POLICY = FrameExitPolicy(0.99, (0.3, 0.5, 0.6, 0.7, 0.4, 0.5, 0.8, 0.5))
RUNTIME = Path(__file__).resolve().parents[1] / "runtime"
# What every engine must do.
COMMON = [
    test
    for name, test in vars(test_engines).items()
    if name.startswith("test_") and set(inspect.signature(test).parameters) in ({"engine"}, {"engine", "tiny_bundle"})
]
SCHEDULES = [StreamOptions()] + [
    StreamOptions(schedule, slots, prefetch, workers=2)
    for schedule in ("lockstep", "compact", "inflight")
    for slots, prefetch in ((1, 0), (4, 1))
]


@pytest.fixture(params=["10", "11"])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    monkeypatch.setenv("VBENCH_HOME", str(tmp_path / "home"))
    machine = install(monkeypatch, request.param)
    yield machine
    gc.collect()
    machine.assert_balanced()
    assert not machine.trt_objects, "everything of TensorRT is gone before the context is"
    assert machine.allocations == 0


@pytest.fixture
def bundle(tiny_bundle: Bundle, tmp_path: Path) -> Bundle:
    return copied(tiny_bundle, tmp_path / "tiny")


def copied(bundle: Bundle, folder: Path) -> Bundle:
    """A copy of a bundle, since plans are kept inside of it."""
    shutil.copytree(bundle.path, folder)
    return Bundle(folder, bundle.manifest)


def clips(count: int = CLIPS) -> list[np.ndarray]:
    """Clips that exit at different steps: of frames, and of pixels."""
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 32 * (1 + index % 8), (10, 36, 44, 3), dtype=np.uint8) for index in range(count // 2)]
    pixels = [rng.standard_normal((10, 3, 32, 32)) * 0.3 * (1 + index % 6) for index in range(count // 2)]
    return frames + [each.astype(np.float32) for each in pixels]


def answers(network: Any, options: StreamOptions, videos: list[np.ndarray]) -> list[Prediction]:
    results = sorted(network.stream(iter(videos), options), key=lambda result: result.clip)
    assert [result.error for result in results] == [None] * len(videos)
    return [result.prediction for result in results]


def assert_equal(found: list[Prediction], wanted: list[Prediction]) -> None:
    assert [p.exit_step for p in found] == [p.exit_step for p in wanted]
    np.testing.assert_allclose([p.logits for p in found], [p.logits for p in wanted], rtol=1e-6, atol=1e-6)
    assert [p.label for p in found] == [p.label for p in wanted]


def one_line(action: Callable[[], object], kind: type[VbenchError], *words: str) -> str:
    with pytest.raises(kind) as raised:
        action()
    text = str(raised.value)
    assert "\n" not in text
    assert raised.value.hint
    for word in words:
        assert word in text, text
    return text


def said(bundle: Bundle, **options: Any) -> list[str]:
    """Load the engine and return what it said meanwhile."""
    lines: list[str] = []
    load_engine("trt", bundle, EngineOptions(say=lines.append, **options)).close()  # type: ignore[attr-defined]
    return lines


def plan_files(bundle: Bundle) -> list[Path]:
    return sorted((bundle.path / "plans").glob("*/*.plan"))


@pytest.mark.usefixtures("machine")
class TestAnswers:
    @pytest.mark.parametrize("options", SCHEDULES, ids=lambda o: f"{o.schedule}-{o.slots}-{o.prefetch}")
    def test_the_same_as_on_the_cpu(self, machine: Any, bundle: Bundle, options: StreamOptions) -> None:
        policy, videos = POLICY, clips()
        wanted = answers(load(bundle.path, "ort", policy=policy), options, videos)
        network = load(bundle.path, "trt", policy=policy, slots=options.slots)
        assert_equal(answers(network, options, videos), wanted)
        assert len({p.exit_step for p in wanted}) > 2
        del network
        assert machine.counters.builds == len(bundle.manifest.parts) - 1

    @pytest.mark.parametrize("test", COMMON, ids=lambda test: test.__name__)
    def test_what_every_engine_does(self, bundle: Bundle, tiny_bundle: Bundle, test: Callable[..., None]) -> None:
        given = {"engine": load_engine("trt", bundle, EngineOptions(slots=8)), "tiny_bundle": tiny_bundle}
        test(**{name: given[name] for name in inspect.signature(test).parameters})

    def test_run_into_rows(self, bundle: Bundle) -> None:
        """Rows of gate values and logits lie where TensorRT takes no address."""
        engine: Any = load_engine("trt", bundle, EngineOptions(slots=8))
        for start, stop in ((0, 1), (1, 2), (2, 5), (0, 5)):
            test_engines.test_run_into_rows_changes_no_other_row(engine, bundle, start, stop)
        assert engine.statistics()["aligned_copies"] > 0

    @pytest.mark.parametrize(("family", "layout"), [("tsm", "shared"), ("slowfast", "folded")])
    def test_frame_flexible(
        self, machine: Any, flexible_bundle: FlexibleBundle, tmp_path: Path, family: str, layout: str
    ) -> None:
        bundle = copied(flexible_bundle(family, layout), tmp_path / family)
        counts = bundle.manifest.frame_counts[:2]
        videos = [np.random.default_rng(i).integers(0, 256, (16, 40, 52, 3), dtype=np.uint8) for i in range(2)]
        networks = [load(bundle.path, engine, frames=counts, cascade=0.3) for engine in ("ort", "trt")]
        wanted, found = (answers(network, StreamOptions(), videos) for network in networks)
        assert_equal(found, wanted)
        assert [path.name[:9] for path in plan_files(bundle)] == [f"frames_{count:02d}" for count in counts]
        assert machine.counters.builds == len(counts)

    @pytest.mark.parametrize("graphs", [True, False])
    def test_graphs(self, machine: Any, bundle: Bundle, graphs: bool) -> None:
        engine: Any = load_engine("trt", bundle, EngineOptions(graphs=graphs, slots=4))
        rng = np.random.default_rng(0)
        pixels, features = engine.zeros((4, 3, 32, 32)), engine.zeros((4, *bundle.manifest.state_shape))
        reference = load_engine("ort", bundle, EngineOptions())
        for _ in range(5):
            values = rng.standard_normal((4, 3, 32, 32)).astype(np.float32)
            engine.copy(engine.put(values), pixels)
            engine.run("backbone", pixels, out=features)
            np.testing.assert_array_equal(engine.get(features), reference.run("backbone", values))
        assert engine.statistics()["graph_launches"] == (3 if graphs else 0)
        assert machine.counters.graph_launches == engine.statistics()["graph_launches"]
        assert engine.describe()["cuda_graphs"] == ("on" if graphs else "off: not wanted")

    def test_what_cannot_be_recorded_runs_all_the_same(self, machine: Any, bundle: Bundle) -> None:
        machine.faults.capture = True
        policy, options = POLICY, StreamOptions("inflight", 4, 1, 2)
        network = load(bundle.path, "trt", policy=policy, slots=4)
        assert_equal(
            answers(network, options, clips()),
            answers(load(bundle.path, "ort", policy=policy), options, clips()),
        )
        assert "cannot be recorded" in network.engine.describe()["cuda_graphs"]

    def test_one_wait_a_tick(self, machine: Any, bundle: Bundle) -> None:
        """The host waits for gate values, and once more for logits at the end."""
        network = load(bundle.path, "trt", policy=FrameExitPolicy(1.0, (1.0,) * 8), slots=1)
        video = np.zeros((10, 3, 32, 32), np.float32)
        for _ in range(4):  # until everything that comes again is recorded
            network.predict(video)
        before = machine.synchronisations
        network.predict(video)
        assert machine.synchronisations - before == 1 + 8 + 1

    def test_more_rows_than_slots(self, bundle: Bundle) -> None:
        engine: Any = load_engine("trt", bundle, EngineOptions(slots=2))
        pixels = engine.zeros((3, 3, 32, 32))
        one_line(lambda: engine.run("backbone", pixels), UsageError, "3 rows", "up to 2", "--slots 3")

    def test_describes_what_runs(self, machine: Any, bundle: Bundle) -> None:
        engine: Any = load_engine("trt", bundle, EngineOptions(slots=4))
        found = engine.describe()
        assert found["tensorrt"].partition(".")[0] in ("10", "11")
        assert (found["precision"], found["tf32"], found["slots"]) == ("fp32", "off", "4")
        assert machine.gpu in found["gpu"]
        assert found["layers"].startswith("fp32: ")


@pytest.mark.usefixtures("machine")
class TestPrecision:
    def test_half(self, tiny_quantised_bundle: Bundle, tmp_path: Path) -> None:
        bundle = copied(tiny_quantised_bundle, tmp_path / "quantised")
        engine: Any = load_engine("trt", bundle, EngineOptions("fp16", slots=2))
        assert "fp16: " in engine.describe()["layers"]
        assert "fp32: " in engine.describe()["layers"], "gates and classifiers decide in fp32"
        (backbone,) = (path for path in plan_files(bundle) if path.name.startswith("backbone"))
        assert json.loads((backbone.parent / f"{backbone.name}.json").read_text())["layers"] == {"fp16": 13}

    @pytest.mark.parametrize("precision", ["int8", "int8-trt"])
    def test_not_in_eight_bits(self, tiny_quantised_bundle: Bundle, tmp_path: Path, precision: str) -> None:
        """The stand-in fuses nothing, so that its convolutions stay in float between the pairs that quantise."""
        bundle = copied(tiny_quantised_bundle, tmp_path / "quantised")
        one_line(lambda: said(bundle, precision=precision), CheckError, "backbone: TensorRT runs no layer", "in int8")
        assert plan_files(bundle) == []


TEN = {"Name": "x", "Location": "Device", "Dimensions": [1, 8], "Format/Datatype": "Row major linear FP32"}
ELEVEN = {"Name": "x", "Dimensions": [1, 8], "Format": "Row major linear", "DataType": "FP16"}


@pytest.mark.parametrize(
    ("layer", "found"),
    [
        ({"LayerType": "CaskConvolution", "Inputs": [TEN]}, {"fp32": 1}),
        ({"LayerType": "CaskConvolution", "Inputs": [ELEVEN], "Outputs": [TEN]}, {"fp16": 1}),
        (
            {"LayerType": "gemm", "Inputs": [{**TEN, "Format/Datatype": "Two wide channel vectorized FP16"}]},
            {"fp16": 1},
        ),
        ({"LayerType": "CaskConvolution", "Inputs": [{**ELEVEN, "DataType": "Int8"}, TEN]}, {"int8": 1}),
        ({"LayerType": "CaskConvolution", "Inputs": [{**ELEVEN, "DataType": "BF16"}]}, {"bf16": 1}),
        ({"LayerType": "CaskConvolution", "Inputs": [TEN], "Weights": {"Type": "Half", "Count": 9}}, {"fp16": 1}),
        ({"LayerType": "CaskConvolution", "Inputs": [TEN], "TacticName": "sm80_tf32f32_gemm"}, {"tf32": 1}),
        ({"LayerType": "kgen", "Name": "__myl_MatMulAdd", "Inputs": [TEN]}, {"fp32": 1}),
        ({"LayerType": "kgen", "Name": "__myl_AddRelu", "Inputs": [TEN]}, {}),
        ({"LayerType": "Reformat", "Name": "Reformatting CopyNode for Input Tensor 0 to Conv_0", "Inputs": [TEN]}, {}),
        ({"LayerType": "Convert", "Inputs": [TEN]}, {}),
        ({"LayerType": "CaskConvolution", "Inputs": []}, {"unknown": 1}),
        ("Conv_0 + Relu_1", {"unknown": 1}),
    ],
)
def test_what_a_layer_multiplies_in(layer: object, found: dict[str, int]) -> None:
    for names in ({"Bindings": ["x"]}, {"I/O Tensors": [{"Name": "x"}]}):
        assert multiplying(json.dumps({"Layers": [layer], **names})) == found


def test_layers_that_are_not_what_was_asked_for() -> None:
    check_layers("backbone", "fp32", {"fp32": 3})
    check_layers("backbone", "fp16", {"fp32": 3, "fp16": 1})
    check_layers("accumulator", "fp32", {})
    one_line(lambda: check_layers("backbone", "fp32", {"fp32": 3, "tf32": 1}), CheckError, "fp32 was asked for")
    one_line(lambda: check_layers("backbone", "fp16", {"fp32": 3}), CheckError, "no layer that multiplies in fp16")
    for text in ("{", "[]", "{}"):
        one_line(lambda text=text: multiplying(text), CheckError)  # type: ignore[misc]


@pytest.mark.usefixtures("machine")
class TestPlans:
    def test_built_once(self, machine: Any, bundle: Bundle) -> None:
        assert len(said(bundle)) == 2 * (len(bundle.manifest.parts) - 1)
        builds = machine.counters.builds
        assert said(bundle) == []
        assert machine.counters.builds == builds
        assert len(plan_files(bundle)) == builds
        said(bundle, slots=33)
        assert machine.counters.builds == 2 * builds, "plans are for a number of slots"

    def test_record(self, machine: Any, bundle: Bundle, tmp_path: Path) -> None:
        said(bundle)
        for path in plan_files(bundle):
            record = json.loads(path.with_name(path.name + ".json").read_text())
            assert record["gpu"] == machine.gpu
            assert record["compute_capability"] == "90"
            assert record["size_bytes"] == path.stat().st_size
            assert record["profile"] == [1, 32, 32]
            assert len(record["sha256"]) == len(record["hmac_sha256"]) == 64
            assert record["driver"] == "13.0"
            for file in (path, path.with_name(path.name + ".json")):
                assert file.stat().st_mode & 0o777 == 0o600
        (key,) = (tmp_path / "home").iterdir()
        assert (key.name, key.stat().st_mode & 0o777) == ("plans.key", 0o600)

    @pytest.mark.parametrize(
        ("spoil", "why"),
        [
            (lambda plan, _: plan.write_bytes(plan.read_bytes()[:-1] + b"?"), "altered"),
            (lambda plan, _: plan.write_bytes(plan.read_bytes()[:-1]), "altered"),
            (lambda plan, _: plan.unlink(), "cannot be read"),
            (lambda plan, _: plan.chmod(0o620), "written by others"),
            (lambda plan, _: plan.parent.chmod(0o777), "written by others"),
            (lambda plan, _: plan.parent.parent.chmod(0o777), "written by others"),
            (lambda _, record: record.chmod(0o602), "written by others"),
            (lambda _, record: record.unlink(), "cannot be read"),
            (lambda _, record: record.write_text("{"), "no readable record"),
            (lambda _, record: record.write_text("[]"), "no readable record"),
            (lambda _, record: changed(record, driver="1.0"), "signature does not hold"),
            (lambda _, record: changed(record, hmac_sha256="0" * 64), "signature does not hold"),
            (lambda _, record: changed(record, hmac_sha256=None), "signature does not hold"),
            (lambda plan, _: linked(plan), "cannot be read"),
        ],
    )
    def test_not_to_be_trusted(
        self, machine: Any, bundle: Bundle, spoil: Callable[[Path, Path], object], why: str
    ) -> None:
        said(bundle)
        builds, plan = machine.counters.builds, next(p for p in plan_files(bundle) if p.name.startswith("gate_05"))
        good = plan.read_bytes()
        spoil(plan, plan.with_name(plan.name + ".json"))
        lines = said(bundle)
        assert any(why in line for line in lines), lines
        assert 1 <= machine.counters.builds - builds <= len(plan_files(bundle))
        assert plan.read_bytes() == good
        assert not plan.is_symlink()
        assert said(bundle) == []

    @pytest.mark.parametrize("where", ["plan", "folder"])
    def test_of_another_user(self, bundle: Bundle, where: str) -> None:
        said(bundle)
        user = os.getuid()
        spoiled = plan_files(bundle)[0] if where == "plan" else bundle.path / "plans"
        if user == 0:
            os.chown(spoiled, 1234, -1)
        else:
            pytest.skip("only root can give files away")
        assert any("belongs to somebody else" in line for line in said(bundle))

    def test_of_another_key(
        self, machine: Any, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        said(bundle)
        builds = machine.counters.builds
        monkeypatch.setenv("VBENCH_HOME", str(tmp_path / "another"))
        assert any("not built by this user" in line for line in said(bundle))
        assert machine.counters.builds == 2 * builds

    def test_of_another_place(self, machine: Any, bundle: Bundle) -> None:
        """A plan that is right, but of another part or another GPU."""
        said(bundle)
        plans = {path.name.partition("-")[0]: path for path in plan_files(bundle)}
        for suffix in ("", ".json"):
            shutil.copy(f"{plans['gate_02']}{suffix}", f"{plans['gate_03']}{suffix}")
        assert any("of another part" in line for line in said(bundle))
        machine.gpu = "NVIDIA Another"
        builds = machine.counters.builds
        said(bundle)
        assert machine.counters.builds == builds + len(plans), "every GPU has plans of its own"
        another, first = sorted((bundle.path / "plans").iterdir())
        shutil.rmtree(first)
        another.rename(first)
        machine.gpu = "NVIDIA H200"
        assert any("of another gpu" in line for line in said(bundle))

    def test_of_another_release(self, machine: Any, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
        said(bundle)
        other = install(monkeypatch, "10", version="10.9.0.34")
        said(bundle)
        assert other.counters.builds == machine.counters.builds
        assert len(list((bundle.path / "plans").iterdir())) == 2

    def test_a_key_that_others_know(self, bundle: Bundle, tmp_path: Path) -> None:
        said(bundle)
        (tmp_path / "home" / "plans.key").chmod(0o644)
        one_line(lambda: said(bundle), UsageError, "plans.key")

    def test_two_builds_at_once(self, bundle: Bundle) -> None:
        context = multiprocessing.get_context("fork")
        results = context.Queue()

        def build() -> None:
            plans = list(build_plans(bundle, EngineOptions(say=lambda _: None)))
            results.put([plan.built for plan in plans])

        processes = [context.Process(target=build) for _ in range(2)]
        for process in processes:
            process.start()
        one, other = (results.get(timeout=120) for _ in processes)
        for process in processes:
            process.join()
        assert all(first != second for first, second in zip(one, other)), "each plan is built once"

    def test_force(self, bundle: Bundle) -> None:
        said(bundle)
        assert [plan.built for plan in build_plans(bundle, EngineOptions())] == [False] * len(plan_files(bundle))
        forced = list(build_plans(bundle, EngineOptions(say=lambda _: None), force=True))
        assert all(plan.built for plan in forced)


def changed(record: Path, **values: object) -> None:
    record.write_text(json.dumps({**json.loads(record.read_text()), **values}))


def linked(plan: Path) -> None:
    elsewhere = plan.with_suffix(".elsewhere")
    plan.rename(elsewhere)
    plan.symlink_to(elsewhere)


@pytest.mark.usefixtures("machine")
class TestErrors:
    def test_no_cuda_python(self, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without it there are no graphs, and all else is the same."""
        monkeypatch.setitem(sys.modules, "cuda.bindings", None)
        network = load(bundle.path, "trt", policy=POLICY, slots=1)
        assert_equal(
            answers(network, StreamOptions(), clips()),
            answers(load(bundle.path, "ort", policy=POLICY), StreamOptions(), clips()),
        )
        assert network.engine.describe()["cuda_graphs"].startswith("off: cuda-python cannot be imported")

    def test_no_tensorrt_libraries(self, machine: Any, bundle: Bundle) -> None:
        machine.faults.libnvinfer = True
        one_line(lambda: said(bundle), MissingError, "tensorrt is installed but does not load", "libnvinfer")

    def test_no_driver(self, machine: Any, bundle: Bundle) -> None:
        machine.faults.driver = True
        one_line(lambda: said(bundle), MissingError, "there is no CUDA driver")

    def test_no_device(self, machine: Any, bundle: Bundle) -> None:
        machine.faults.device = True
        one_line(lambda: said(bundle), MissingError, "no CUDA-capable device")

    @pytest.mark.parametrize("package", ["pycuda", "onnxruntime"])
    def test_no_package(self, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
        monkeypatch.setitem(sys.modules, package, None)
        one_line(lambda: said(bundle), MissingError, f"{package} is not installed", "pip install")

    def test_out_of_memory(self, bundle: Bundle) -> None:
        engine: Any = load_engine("trt", bundle, EngineOptions(slots=2))
        text = one_line(lambda: engine.zeros((1 << 40,)), MissingError, "no 4398046.5 MB left")
        assert "--slots" in text

    def test_out_of_memory_while_loading(self, machine: Any, bundle: Bundle) -> None:
        said(bundle)
        machine.memory.total = machine.memory.used + 1
        one_line(lambda: said(bundle), MissingError, "not enough memory", "--slots")

    def test_a_graph_that_tensorrt_refuses(self, machine: Any, bundle: Bundle) -> None:
        machine.faults.parse = True
        one_line(lambda: said(bundle), BundleError, "backbone.onnx", "TensorRT refused it")
        assert plan_files(bundle) == []

    def test_an_unknown_operator(self, machine: Any, bundle: Bundle) -> None:
        machine.faults.operators = frozenset({"Conv"})
        one_line(lambda: said(bundle), BundleError, "Conv")

    def test_no_plan(self, machine: Any, bundle: Bundle) -> None:
        machine.faults.build = True
        one_line(lambda: said(bundle), BundleError, "built no plan")

    def test_no_kernel_for_a_grouped_convolution(
        self, tiny_quantised_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import tensorrt

        def refuse(builder: Any, *_: object) -> None:
            builder.logger.log(tensorrt.ILogger.Severity.ERROR, "no low-precision conv kernel:\nkeep Conv in FP32")

        monkeypatch.setattr(tensorrt.Builder, "build_serialized_network", refuse)
        bundle = copied(tiny_quantised_bundle, tmp_path / "quantised")
        one_line(lambda: said(bundle, precision="fp16"), BundleError, "no low-precision conv", "--precision fp32")

    def test_a_run_that_fails(self, machine: Any, bundle: Bundle) -> None:
        engine: Any = load_engine("trt", bundle, EngineOptions(slots=2))
        machine.faults.execute = 1
        one_line(lambda: engine.run("backbone", engine.zeros((1, 3, 32, 32))), CheckError, "backbone")

    def test_a_full_disk(self, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
        write = Path.write_bytes

        def full(path: Path, data: bytes) -> int:
            if path.suffix == ".plan":
                write(path, data[:10])
                raise OSError(28, "No space left on device")
            return write(path, data)

        monkeypatch.setattr(Path, "write_bytes", full)
        one_line(lambda: said(bundle), MissingError, "no room left on the disk")
        assert not list((bundle.path / "plans").glob("*/*.plan*"))
        assert not list((bundle.path / "plans").glob("*/.*.plan*"))
        monkeypatch.setattr(Path, "write_bytes", write)
        said(bundle)
        assert plan_files(bundle)

    def test_a_place_that_cannot_be_written(self, bundle: Bundle) -> None:
        (bundle.path / "plans").write_text("a file")
        one_line(lambda: said(bundle), UsageError, "plans")

    def test_no_such_precision(self, bundle: Bundle) -> None:
        one_line(lambda: said(bundle, precision="fp16"), BundleError, "no fp16 in this bundle")

    def test_no_slots(self, bundle: Bundle) -> None:
        one_line(lambda: said(bundle, slots=0), UsageError, "--slots")


@pytest.mark.usefixtures("machine")
def test_plans_for_more_rows_are_used(machine: Any, bundle: Bundle) -> None:
    """What ``vbench build`` made for 32 serves a run that needs one row, unless there are plans for one."""
    load_engine("trt", bundle, EngineOptions(slots=6))
    load_engine("trt", bundle, EngineOptions(slots=8))
    assert {path.parent.name.rpartition("-")[2] for path in plan_files(bundle)} == {"6", "8"}
    builds = machine.counters.builds
    notes = said(bundle, slots=2)
    assert machine.counters.builds == builds
    assert notes == ["using the plans for batches of up to 6; vbench build --slots 2 makes plans of their own for 2"]


@pytest.mark.usefixtures("machine")
def test_open_after_copy(bundle: Bundle) -> None:
    """Plans that lie in the bundle are no business of its manifest."""
    said(bundle)
    open_bundle(bundle.path).check_files()


def test_names() -> None:
    """Every name of TensorRT that is used is there in both major releases."""
    used = names_used(RUNTIME.glob("*.py"))
    assert ("BuilderFlag", "TF32") in used
    for flavour in ("10", "11"):
        api = load_api(flavour)
        assert [each for each in sorted(used) if not each[1].startswith("__") and not api.has(*each)] == []


@pytest.mark.usefixtures("machine")
class TestCommands:
    def test_build(self, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = ["vbench", "build", str(bundle.path), "--slots", "4"]
        for extra, state in (([], "built"), ([], "there"), (["--force"], "built")):
            monkeypatch.setattr(sys, "argv", [*arguments, *extra])
            with pytest.raises(SystemExit) as ended:
                main()
            assert ended.value.code == 0
            lines = capsys.readouterr().out.splitlines()
            assert lines[0].split() == ["part", "layers", "that", "multiply", "seconds", "MB"]
            assert len(lines) == len(bundle.manifest.parts)
            assert lines[1].split()[:4] == ["backbone", "fp32:", "13", state]
        monkeypatch.setattr(sys, "argv", [*arguments, "--json"])
        with pytest.raises(SystemExit):
            main()
        plans = json.loads(capsys.readouterr().out)["plans"]
        assert [plan["built"] for plan in plans] == [False] * (len(bundle.manifest.parts) - 1)

    def test_build_of_another_engine(
        self, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(sys, "argv", ["vbench", "build", str(bundle.path), "--engine", "ort"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        assert "builds nothing" in capsys.readouterr().err

    def test_run(self, bundle: Bundle, tmp_path: Path) -> None:
        data = save_dataset(tmp_path / "data")
        results = []
        for engine in ("ort", "trt"):
            config = RunConfig(str(bundle.path), engine, "folder", str(data), stream=StreamOptions("inflight", 3, 1, 2))
            results.append(start_run(config, tmp_path / engine, "vbench run it"))
        one, other = (polars.read_parquet(result.path / "predictions.parquet", glob=False) for result in results)
        for column in ("video", "prediction", "exit_step", "frames_used"):
            assert one.sort("video")[column].to_list() == other.sort("video")[column].to_list()
        assert '"slots": "3"' in (tmp_path / "trt" / "run.json").read_text()
