"""The engine trt on fakes of TensorRT, PyCUDA and cuda-python, which compute on the CPU and reject misuse."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest

from tests.bench.run.test_run import save_dataset
from tests.configs import run_config
from tests.conftest import FlexibleBundle
from tests.runtime.engines import test_engines
from tests.trt_runs import (
    POLICY,
    answers,
    assert_equal,
    bundle,
    clips,
    copied,
    flavor,
    machine,
    one_line,
    plan_files,
    said,
)
from vbench.bench.run.run import start_run
from vbench.cli.main import main
from vbench.errors import CheckError, MissingError, UsageError, VbenchError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.engines.base import EngineOptions, load_engine
from vbench.runtime.engines.trt import plan_source
from vbench.runtime.engines.trt.engine import TrtEngine
from vbench.runtime.engines.trt.precision_check import check_layers, precision_counts
from vbench.runtime.load import load
from vbench.runtime.policies.gates import FrameExitPolicy
from vbench.runtime.scheduler.options import SPECULATIVE, StreamOptions

__all__ = ["bundle", "flavor", "machine"]  # fixtures

RUNTIME = Path(__file__).resolve().parents[3] / "runtime"
# The contract of every engine.
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
SCHEDULES += [replace(options, sync=SPECULATIVE) for options in SCHEDULES if options.prefetch] + [
    StreamOptions(prefetch=1, sync=SPECULATIVE)
]


@pytest.mark.usefixtures("machine")
class TestAnswers:
    @pytest.mark.parametrize("options", SCHEDULES, ids=lambda o: f"{o.schedule}-{o.slots}-{o.prefetch}-{o.sync}")
    def test_equal_to_the_cpu(self, machine: Any, bundle: Bundle, options: StreamOptions) -> None:
        policy, videos = POLICY, clips()
        wanted = answers(load(bundle.path, "ort", policy=policy), options, videos)
        network = load(bundle.path, "trt", policy=policy, slots=options.slots)
        assert_equal(answers(network, options, videos), wanted)
        assert len({p.exit_step for p in wanted}) > 2
        del network
        assert machine.counters.builds == len(bundle.manifest.parts) - 1

    @pytest.mark.parametrize("test", COMMON, ids=lambda test: test.__name__)
    def test_engine_contract(self, bundle: Bundle, tiny_bundle: Bundle, test: Callable[..., None]) -> None:
        given = {"engine": load_engine("trt", bundle, EngineOptions(slots=8)), "tiny_bundle": tiny_bundle}
        test(**{name: given[name] for name in inspect.signature(test).parameters})

    def test_run_into_rows(self, bundle: Bundle) -> None:
        """Rows of gate values and logits are not aligned for TensorRT."""
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
        networks = [load(bundle.path, engine, frames=counts, cascade=0.3, slots=2) for engine in ("ort", "trt")]
        for options in (StreamOptions(), StreamOptions("inflight", 2, 1)):
            wanted, found = (answers(network, options, videos) for network in networks)
            assert_equal(found, wanted)
        assert [path.name[:9] for path in plan_files(bundle)] == [f"frames_{count:02d}" for count in counts]
        assert machine.counters.builds == len(counts)

    @pytest.mark.parametrize("graphs", [True, False])
    def test_graphs(self, machine: Any, bundle: Bundle, graphs: bool) -> None:
        engine: Any = load_engine("trt", bundle, EngineOptions(graphs=None if graphs else False, slots=4))
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
        assert engine.describe()["cuda_graphs"] == ("on" if graphs else "off: disabled")

    def test_parts_that_cannot_be_captured_run_without_graphs(self, machine: Any, bundle: Bundle) -> None:
        machine.faults.capture = True
        policy, options = POLICY, StreamOptions("inflight", 4, 1, 2)
        network = load(bundle.path, "trt", policy=policy, slots=4)
        assert_equal(
            answers(network, options, clips()),
            answers(load(bundle.path, "ort", policy=policy), options, clips()),
        )
        assert "cannot be captured" in network.engine.describe()["cuda_graphs"]

    def test_one_wait_a_tick(self, machine: Any, bundle: Bundle) -> None:
        """The host waits for gate values, and once more for logits at the end."""
        network = load(bundle.path, "trt", policy=FrameExitPolicy(1.0, (1.0,) * 8), slots=1)
        video = np.zeros((10, 3, 32, 32), np.float32)
        for _ in range(4):  # until all repeated work is recorded
            network.predict(video)
        before = machine.synchronizations
        network.predict(video)
        assert machine.synchronizations - before == 1 + 8 + 1

    def test_at_most_four_launches_a_tick_besides_the_backbone(
        self, machine: Any, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whatever the steps of the slots; no tensor is copied because its address is not aligned."""
        runs: list[str] = []
        run = TrtEngine.run

        def logged(engine: TrtEngine, part: str, *inputs: Any, out: Any = None) -> Any:
            runs.append(part)
            return run(engine, part, *inputs, out=out)

        monkeypatch.setattr(TrtEngine, "run", logged)
        network = load(bundle.path, "trt", policy=POLICY, slots=4, graphs=False)
        predictions = answers(network, StreamOptions("inflight", 4, 1), clips())
        launched = [part for part in runs if part != "preprocess"]
        assert machine.counters.launches.total() == len(launched), "a part is one launch"
        ticks = " ".join(launched).split("backbone")[1:]
        assert max(len(tick.split()) for tick in ticks) == len(("accumulator", "gates", "classifiers", "classifiers"))
        assert len(ticks) < sum(prediction.exit_step for prediction in predictions), "slots share ticks"
        assert network.engine.statistics()["aligned_copies"] == 0  # type: ignore[attr-defined]

    def test_speculative_waits_only_for_copies(self, machine: Any, bundle: Bundle) -> None:
        """The host waits at most for the gate values and logits of every step, never for the speculative frame.

        How many of these copies have completed before the host asks for them depends on the reader's thread.
        """
        network = load(bundle.path, "trt", policy=FrameExitPolicy(1.0, (1.0,) * 8), slots=1)
        video, options = np.zeros((10, 3, 32, 32), np.float32), StreamOptions(prefetch=1, sync=SPECULATIVE)
        for _ in range(4):
            list(network.stream([video], options))
        before = machine.synchronizations
        (result,) = network.stream([video], options)
        assert result.prediction.exit_step == 10
        assert 1 + 8 + 1 <= machine.synchronizations - before <= 1 + 2 * 8 + 1

    def test_abandoned_fetch(self, bundle: Bundle) -> None:
        """Its buffer is not reused while the GPU may write to it, and is released at the end."""
        engine: Any = load_engine("trt", bundle, EngineOptions(slots=1))
        first, second = (engine.put(np.full((1, 3), value, np.float32)) for value in (1, 2))
        engine.fetch(first)
        waits = [engine.fetch(second) for _ in range(3)]
        assert len(engine._staging._fetching) == 4
        for wait in waits:
            np.testing.assert_array_equal(wait(), [[2, 2, 2]])
        assert len(engine._staging._fetching) == 1
        engine.close()
        assert not engine._staging._fetching

    def test_more_rows_than_slots(self, bundle: Bundle) -> None:
        engine: Any = load_engine("trt", bundle, EngineOptions(slots=2))
        pixels = engine.zeros((3, 3, 32, 32))
        one_line(
            lambda: engine.run("backbone", pixels),
            UsageError,
            "3 rows",
            "exceeds the TensorRT plan's limit of 2",
            "--slots",
        )

    def test_tf32_if_requested(self, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, flavor: str) -> None:
        """In large parts; gates and classifiers stay in fp32. The network definition of TensorRT-RTX has no tf32."""
        backbone = bundle.manifest.parts["backbone"]
        monkeypatch.setattr(plan_source, "is_large_part", lambda part: part == backbone)
        fp32, tf32 = (load_engine("trt", bundle, EngineOptions(name, slots=4)).describe() for name in ("fp32", "tf32"))
        assert (fp32["tf32"], tf32["tf32"], tf32["precision"]) == ("off", "on", "tf32")
        assert "tf32" not in fp32["layers"]
        assert ("tf32: 13" in tf32["layers"]) == (flavor != "rtx")
        assert "fp32: " in tf32["layers"]
        assert len({path.parent.name for path in plan_files(bundle)}) == 2
        monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
        one_line(lambda: load_engine("trt", bundle, EngineOptions("tf32")), UsageError, "NVIDIA_TF32_OVERRIDE=0")

    @pytest.mark.parametrize(
        ("options", "kind", "said"),
        [
            ({"device": "cpu"}, UsageError, "runs only on a GPU, not on cpu"),
            ({"device": "cuda:1"}, MissingError, "there is no cuda:1: CUDA sees 1 GPU;"),
            ({"device": "gpu"}, UsageError, "unknown device 'gpu'"),
            ({"provider": "tensorrt"}, UsageError, "trt engine does not support --provider tensorrt"),
        ],
    )
    def test_unsupported_devices_and_providers(
        self, bundle: Bundle, options: dict[str, str], kind: type[VbenchError], said: str
    ) -> None:
        one_line(lambda: load_engine("trt", bundle, EngineOptions(**options)), kind, said)

    @pytest.mark.parametrize("device", [None, "cuda", "cuda:0"])
    def test_preprocesses_on_the_cpu_for_every_device(self, bundle: Bundle, device: str | None) -> None:
        found = load_engine("trt", bundle, EngineOptions(slots=1, device=device, graphs=True)).describe()
        assert found["preprocessing"].endswith("on the CPU")
        assert found["device"] == "cuda:0", "which telemetry reads"

    def test_description(self, machine: Any, bundle: Bundle, flavor: str) -> None:
        engine: Any = load_engine("trt", bundle, EngineOptions(slots=4))
        found = engine.describe()
        assert found["flavor"] == ("TensorRT-RTX" if flavor == "rtx" else "TensorRT")
        assert flavor in ("rtx", found["tensorrt"].partition(".")[0])
        assert (found["precision"], found["tf32"], found["slots"]) == ("fp32", "off", "4")
        assert machine.gpu in found["gpu"]
        assert found["layers"].startswith("fp32: ")


@pytest.mark.usefixtures("machine")
class TestPrecision:
    def test_half(self, tiny_quantized_bundle: Bundle, tmp_path: Path) -> None:
        bundle = copied(tiny_quantized_bundle, tmp_path / "quantized")
        engine: Any = load_engine("trt", bundle, EngineOptions("fp16", slots=2))
        assert "fp16: " in engine.describe()["layers"]
        assert "fp32: " in engine.describe()["layers"], "gates and classifiers stay in fp32"
        (backbone,) = (path for path in plan_files(bundle) if path.name.startswith("backbone"))
        assert json.loads((backbone.parent / f"{backbone.name}.json").read_text())["layers"] == {"fp16": 13}

    @pytest.mark.parametrize("precision", ["int8", "int8-trt"])
    def test_not_in_eight_bits(
        self, tiny_quantized_bundle: Bundle, tmp_path: Path, precision: str, flavor: str
    ) -> None:
        """The fake fuses nothing, so its convolutions stay in float between the quantize/dequantize pairs."""
        bundle = copied(tiny_quantized_bundle, tmp_path / "quantized")
        if flavor == "rtx":  # only the network definition is known
            engine: Any = load_engine("trt", bundle, EngineOptions(precision, slots=2))
            assert "int8: 13" in engine.describe()["layers"]
            return
        one_line(
            lambda: said(bundle, precision=precision),
            CheckError,
            "backbone: TensorRT does not run any matrix-product layer",
            "in int8",
        )
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
        (
            {"LayerType": "kgen", "Name": "__myl_AddMean_0", "Inputs": [TEN], "Metadata": "[ONNX Layer: /a/Conv]"},
            {},
        ),
        (
            {"LayerType": "fusion", "Name": "__myl_Fc_myl0_5", "Inputs": [{"Format/Datatype": "Half"}]},
            {"fp16": 1},
        ),
        (
            {"LayerType": "fusion", "Name": "__myl_AddFc7", "Inputs": [{"Format/Datatype": "Int8"}]},
            {"int8": 1},
        ),
        (
            {"LayerType": "fusion", "Name": "__myl_5", "TacticName": "sm80_xmma_gemm_f16f16", "Inputs": [ELEVEN]},
            {"fp16": 1},
        ),
        (
            {"LayerType": "gemm", "Inputs": [TEN], "TacticName": "cutlass_80_tensorop_s1688gemm_128x128"},
            {"tf32": 1},
        ),
        (
            {"LayerType": "gemm", "Inputs": [ELEVEN], "TacticName": "ampere_fp16_tensorop_s1688gemm_fp16"},
            {"fp16": 1},
        ),
        ("Reformatting CopyNode for Input Tensor 0 to Conv_0", {}),
        ({"LayerType": "Reformat", "Name": "Reformatting CopyNode for Input Tensor 0 to Conv_0", "Inputs": [TEN]}, {}),
        ({"LayerType": "Convert", "Inputs": [TEN]}, {}),
        ({"LayerType": "CaskConvolution", "Inputs": []}, {"unknown": 1}),
        ("Conv_0 + Relu_1", {"unknown": 1}),
    ],
)
def test_precision_of_a_layer(layer: object, found: dict[str, int]) -> None:
    for names in ({"Bindings": ["x"]}, {"I/O Tensors": [{"Name": "x"}]}):
        assert precision_counts(json.dumps({"Layers": [layer], **names})) == found


def test_layers_in_another_precision() -> None:
    check_layers("backbone", "fp32", {"fp32": 3})
    check_layers("backbone", "fp16", {"fp32": 3, "fp16": 1})
    check_layers("accumulator", "fp32", {})
    one_line(lambda: check_layers("backbone", "fp32", {"fp32": 3, "tf32": 1}), CheckError, "precisions other than fp32")
    one_line(lambda: check_layers("backbone", "fp16", {"fp32": 3}), CheckError, "any matrix-product layer in fp16")
    check_layers("backbone", "tf32", {"fp32": 3, "tf32": 1})
    check_layers("backbone", "tf32", {"fp32": 3})
    one_line(lambda: check_layers("backbone", "tf32", {"tf32": 3, "fp16": 1}), CheckError, "precisions other than tf32")
    for text in ("{", "[]", "{}"):
        one_line(lambda text=text: precision_counts(text), CheckError)  # type: ignore[misc]


@pytest.mark.usefixtures("machine")
class TestCommands:
    def test_build(
        self, machine: Any, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        arguments = ["vbench", "build", str(bundle.path), "--slots", "4"]
        for extra, state in (([], "built"), ([], "cached"), (["--force"], "built")):
            monkeypatch.setattr(sys, "argv", [*arguments, *extra])
            with pytest.raises(SystemExit) as ended:
                main()
            assert ended.value.code == 0
            lines = capsys.readouterr().out.splitlines()
            assert lines[0].split() == ["part", "GPU", "matrix", "and", "convolution", "layers", "seconds", "MB"]
            assert len(lines) == len(bundle.manifest.parts)
            gpu = f"sm_{machine.sm[0]}{machine.sm[1]}"
            assert lines[1].split()[:5] == ["backbone", gpu, "fp32:", "13", state]
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
        assert "does not require a build" in capsys.readouterr().err

    def test_run(self, bundle: Bundle, tmp_path: Path) -> None:
        data = save_dataset(tmp_path / "data")
        results = []
        for engine in ("ort", "trt"):
            stream = StreamOptions("inflight", 3, 1, 2)
            config = run_config(bundle, engine=engine, dataset="folder", data=data, stream=stream)
            results.append(start_run(config, tmp_path / engine, "vbench run it"))
        one, other = (polars.read_parquet(result.path / "predictions.parquet", glob=False) for result in results)
        for column in ("video", "prediction", "exit_step", "frames_used"):
            assert one.sort("video")[column].to_list() == other.sort("video")[column].to_list()
        assert '"slots": "3"' in (tmp_path / "trt" / "run.json").read_text()
