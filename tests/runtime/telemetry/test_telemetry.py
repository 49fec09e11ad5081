"""GPU monitoring: its record, and that its failures do not affect a run."""

from __future__ import annotations

import inspect
import json
import sys
import time
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.bench.run.test_run import save_dataset
from tests.configs import run_config
from tests.fakes_nvml import CONSTANTS, ERRORS, FUNCTIONS, QUERIES, FakeGpu, FakeNvml
from vbench.bench.records.run_folder import RunConfig
from vbench.bench.run.run import start_run
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.engines.ort.cpu import OrtEngine
from vbench.runtime.telemetry.gpu_monitor import Telemetry, runs_on_gpu
from vbench.runtime.telemetry.gpu_record import Sample, Share, Span, Spread, gpu_record
from vbench.runtime.telemetry.nvml import REASONS, gpu_in_use

CUDA = {"onnxruntime": "1.31.1", "providers": "CUDAExecutionProvider"}
QUICK_S = 0.002

Install = Callable[[FakeNvml], FakeNvml]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    def installed(nvml: FakeNvml) -> FakeNvml:
        monkeypatch.setitem(sys.modules, "pynvml", nvml)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        return nvml

    return installed


def in_turn(*values: Any) -> Callable[[], Any]:
    """Return a function that returns the values in order, then repeats the last one."""
    left: Iterator[Any] = chain(values, repeat(values[-1]))
    return lambda: next(left)


def look(description: dict[str, str], samples: int = 3, gpu: FakeGpu | None = None) -> Telemetry:
    """Monitor the GPU until it has been sampled ``samples`` times."""
    with Telemetry(description, QUICK_S) as telemetry:
        until = time.monotonic() + 5
        while gpu is not None and gpu.queries.count("nvmlDeviceGetUtilizationRates") < samples:
            assert time.monotonic() < until
            time.sleep(QUICK_S)
    return telemetry


def test_fake_matches_the_installed_package() -> None:
    pynvml = pytest.importorskip("pynvml")
    for name, value in CONSTANTS.items():
        assert getattr(pynvml, name) == value
    for name, value in ERRORS.items():
        assert type(pynvml.NVMLError(value)).__name__ == name
        assert issubclass(getattr(pynvml, name), pynvml.NVMLError)
    for name in FUNCTIONS:
        assert callable(getattr(pynvml, name))
    more = {"nvmlDeviceGetClockInfo": 2, "nvmlDeviceGetMaxClockInfo": 2, "nvmlDeviceGetTemperature": 2}
    for name in QUERIES:
        parameters = inspect.signature(getattr(pynvml, name)).parameters.values()
        assert sum(one.default is inspect.Parameter.empty for one in parameters) == more.get(name, 1), name
    for bit, name in REASONS.items():
        suffix = "".join(word.title() for word in name.split("_"))
        assert bit == getattr(pynvml, f"nvmlClocksThrottleReason{suffix}")


@pytest.mark.parametrize(
    ("description", "wanted"),
    [
        (CUDA, True),
        ({"providers": "TensorrtExecutionProvider,CUDAExecutionProvider"}, True),
        ({"torch": "2.13.0", "device": "cuda:0"}, True),
        ({"gpu": "NVIDIA H200"}, True),
        ({"providers": "CPUExecutionProvider"}, False),
        ({"torch": "2.13.0+cu130", "device": "cpu"}, False),
        ({"openvino": "2026.4", "device": "Intel(R) Xeon(R)", "capabilities": "FP32"}, False),
        ({}, False),
    ],
)
def test_engines_that_run_on_a_gpu(description: dict[str, str], wanted: bool) -> None:
    assert runs_on_gpu(description) is wanted


def test_record_of_a_run(install: Install) -> None:
    answers = {
        "nvmlDeviceGetPowerUsage": in_turn(70_000, 300_000, 500_000, 400_000),
        "nvmlDeviceGetTotalEnergyConsumption": in_turn(1_000_000, 1_090_000),
        "nvmlDeviceGetTemperature": in_turn(40, 61, 55),
    }
    gpu = FakeGpu(answers)
    nvml = install(FakeNvml([gpu]))
    record = look(CUDA, 3, gpu).record(videos=9)
    assert nvml.open == 0
    assert record is not None
    assert (record.name, record.videos, record.idle_power_w) == ("NVIDIA Fake", 9, 70)
    assert record.samples >= 3
    assert record.seconds > 0
    assert record.power_w is not None
    assert (record.power_w.min, record.power_w.max) == (300, 500)
    assert record.sm_clock_mhz == Spread(345, 345, 345)
    assert record.memory_clock_mhz == Spread(1593, 1593, 1593)
    assert record.temperature_c == 61
    assert record.throttled == ()  # idleness is not throttling
    assert (record.joules, record.joules_from, record.joules_per_video) == (90, "counter", 10)
    assert json.loads(json.dumps(record.as_dict()))["sm_clock_mhz"] == {"min": 345, "median": 345, "max": 345}


def test_gpu_with_few_supported_queries(install: Install) -> None:
    unsupported = {name: "NVMLError_NotSupported" for name in QUERIES if name != "nvmlDeviceGetName"}
    gpu = FakeGpu(unsupported)
    install(FakeNvml([gpu]))
    record = look(CUDA, 3, gpu).record(videos=2)
    assert record is not None
    assert record.samples >= 3
    said = record.as_dict()
    empty = {name for name, value in said.items() if value in (None, [])}
    assert empty == set(said) - {"name", "samples", "seconds", "videos"}


@pytest.mark.parametrize(
    "nvml",
    [
        None,
        FakeNvml(opens="NVMLError_LibraryNotFound"),
        FakeNvml(opens="NVMLError_LibRmVersionMismatch"),
        FakeNvml([]),
    ],
)
def test_no_record_without_package_driver_or_gpu(nvml: FakeNvml | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml)  # None: cannot be imported
    assert look(CUDA).record(videos=1) is None
    assert nvml is None or nvml.open == 0


def test_cpu_engine_is_not_monitored(install: Install) -> None:
    gpu = FakeGpu()
    install(FakeNvml([gpu]))
    assert look({"providers": "CPUExecutionProvider"}).record(videos=1) is None
    assert gpu.queries == []


def test_gpu_lost_during_a_run(install: Install) -> None:
    gpu = FakeGpu({"nvmlDeviceGetPowerUsage": in_turn(70_000, 200_000, "NVMLError_GpuIsLost")})
    gpu.answers["nvmlDeviceGetTotalEnergyConsumption"] = in_turn(5_000, "NVMLError_GpuIsLost")
    install(FakeNvml([gpu]))
    record = look(CUDA, 4, gpu).record(videos=1)
    assert record is not None
    assert record.power_w == Spread(200, 200, 200)
    assert record.joules_from == "samples"


def test_error_in_the_sampler_is_suppressed(install: Install) -> None:
    def fail() -> None:
        raise OSError("out of the blue")

    gpu = FakeGpu({"nvmlDeviceGetUtilizationRates": fail})
    nvml = install(FakeNvml([gpu]))
    record = look(CUDA, 1, gpu).record(videos=1)
    assert record is not None
    assert (record.samples, record.power_w, record.joules_from) == (0, None, "counter")
    assert nvml.open == 0


def test_hanging_driver_does_not_block_a_run(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vbench.runtime.telemetry.gpu_monitor._STOP_TIMEOUT_S", 0.05)
    nvml = install(FakeNvml([FakeGpu({"nvmlDeviceGetUtilizationRates": lambda: time.sleep(1)})]))
    before = time.monotonic()
    assert look(CUDA).record(videos=1) is not None
    assert time.monotonic() - before < 0.9
    assert nvml.open == 1  # it is still in use


def sample(at_s: float, power_w: float | None, reasons: tuple[str, ...] | None = ()) -> Sample:
    return Sample(at_s, 1000, 2000, power_w, 50, 90, reasons)


def test_energy_from_power_without_a_counter() -> None:
    # 100 W for the first second (held), from 100 to 200 W in the next, 200 W for half a second (held)
    samples = [sample(1, 100), sample(1.5, None), sample(2, 200)]
    record = gpu_record("x", samples, Span(0, 2.5, None, 7.0), None, 10)
    assert (record.joules, record.joules_from) == (pytest.approx(350), "samples")
    assert record.joules_per_video == pytest.approx(35)
    assert gpu_record("x", [], Span(0, 1, None, None), None, 0).joules is None
    assert gpu_record("x", [], Span(0, 1, 1.0, 2.0), None, 0).joules_per_video is None


def test_share_of_throttling_reasons() -> None:
    sampled = [("sw_power_cap",), ("sw_power_cap", "hw_slowdown"), ("gpu_idle",), ("sw_power_cap",), None]
    record = gpu_record("x", [sample(n, 1, reasons) for n, reasons in enumerate(sampled)], Span(0, 5, None, None), 1, 1)
    assert record.throttled == (Share("sw_power_cap", 0.75), Share("hw_slowdown", 0.25))


def test_older_packages_and_drivers_name_the_reasons_differently(install: Install) -> None:
    function = "nvmlDeviceGetCurrentClocksEventReasons"
    older = {"nvmlDeviceGetCurrentClocksThrottleReasons": 0x4}
    for nvml in (
        FakeNvml([FakeGpu(older)], lacks=[function]),
        FakeNvml([FakeGpu({**older, function: "NVMLError_FunctionNotFound"})]),
    ):
        install(nvml)
        record = look(CUDA, 2, nvml.gpus[0]).record(videos=1)
        assert record is not None
        assert record.throttled == (Share("sw_power_cap", 1.0),)


@pytest.mark.parametrize(
    ("visible", "description", "wanted"),
    [
        (None, {}, 0),
        ("1,0", {}, 1),
        ("GPU-2", {}, 2),
        ("7", {}, 0),
        (None, {"gpu": "NVIDIA B, compute capability 9.0"}, 1),
        ("2", {"gpu": "NVIDIA B"}, 2),
        ("0", {"gpu": "NVIDIA unknown"}, 0),
        (None, {"device": "cuda:1"}, 1),
        (None, {"device": "cuda:2 (NVIDIA B)"}, 2),
        (None, {"device": "cuda:0 (NVIDIA B)"}, 1),
        (None, {"device": "cuda:2", "gpu": "NVIDIA B, compute capability 9.0"}, 2),
        ("0,2", {"device": "cuda:1 (NVIDIA A or NVIDIA B)"}, 2),
        ("GPU-0,GPU-2", {"device": "cuda:1"}, 2),
        ("1", {"device": "cuda:0 (unknown GPU)"}, 1),
    ],
)
def test_gpu_of_an_engine(visible: str | None, description: dict[str, str], wanted: int) -> None:
    nvml = FakeNvml([FakeGpu({"nvmlDeviceGetName": name}) for name in ("NVIDIA A", "NVIDIA B", b"NVIDIA B")])
    nvml.nvmlInit()
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert gpu_in_use(nvml, description, environment)._handle is nvml.gpus[wanted]


@pytest.fixture(scope="module")
def config(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    return run_config(tiny_bundle, dataset="folder", data=save_dataset(tmp_path_factory.mktemp("videos")))


def test_run_on_a_gpu_is_recorded(
    config: RunConfig, tmp_path: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = iter(range(0, 10**9, 20_000))
    gpu = FakeGpu({"nvmlDeviceGetTotalEnergyConsumption": lambda: next(counter)})
    gpu.answers["nvmlDeviceGetUtilizationRates"] = SimpleNamespace(gpu=88, memory=3)
    install(FakeNvml([gpu]))
    monkeypatch.setattr(OrtEngine, "describe", lambda _self: CUDA)
    recorded = start_run(config, tmp_path / "run", "vbench run").metrics["gpu"]
    assert recorded == json.loads((tmp_path / "run" / "run.json").read_bytes())["metrics"]["gpu"]
    assert recorded["utilisation_percent"] == {"min": 88, "median": 88, "max": 88}
    assert (recorded["videos"], recorded["joules"], recorded["joules_per_video"]) == (10, 20, 2)


def test_run_on_the_cpu_has_no_gpu_record(config: RunConfig, tmp_path: Path) -> None:
    assert start_run(config, tmp_path / "run", "vbench run").metrics["gpu"] is None
