"""``vbench doctor``: it probes every component, reports problems with remedies, and no failure ends the checks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest

from tests.cli.test_cli import COMMAND
from tests.fakes_nvml import BIG_PROCESS, QUIET_PROCESS, FakeGpu, FakeNvml
from vbench.bench.doctor import diagnose as diagnose_module
from vbench.bench.doctor.diagnose import check_runs, diagnose
from vbench.bench.doctor.discover import check as check_data
from vbench.bench.records.run_file import SCHEMA_VERSION
from vbench.cli.doctor import _lines
from vbench.cli.main import main
from vbench.runtime.doctor import cpu, disk, engines, gpu, precisions, probe_client
from vbench.runtime.doctor.finding import Finding, findings, ok
from vbench.runtime.doctor.probe_client import NOT_INSTALLED, ProbeResult, probe_precisions, run_probe, run_probes
from vbench.runtime.doctor.probe_engines import MODEL, SHAPE
from vbench.runtime.doctor.probe_main import PROBES
from vbench.runtime.telemetry import cpus

NOTHING = dict.fromkeys(PROBES, NOT_INSTALLED)
DRIVER = ProbeResult(facts={"cuda": "13.0", "gpus": "1"})
NO_DRIVER = ProbeResult(error="OSError: libcuda.so.1: cannot open shared object file: No such file or directory")
ORT = ProbeResult(facts={"version": "1.31.1", "package": "onnxruntime-gpu", "cuda": "13.0"})
FAKE_ORT = """
import os, sys, time
__version__ = "9.9"
class SessionOptions:
    def add_session_config_entry(self, key, value):
        assert (key, value) == ("session.disable_cpu_ep_fallback", "1")
class InferenceSession:
    def __init__(self, model, settings, providers):
        {init}
    def get_providers(self):
        return ["CPUExecutionProvider"]
    def run(self, outputs, inputs):
        return [{output} + 0 * inputs["x"]]
def get_available_providers():
    return ["CUDAExecutionProvider", "CPUExecutionProvider"]
"""

Package = Callable[..., None]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Return a function that creates a package which probes import instead of the real one."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(name: str, code: str) -> None:
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "__init__.py").write_text(code, encoding="utf-8")

    return make


def by_name(found: list[Finding]) -> dict[str, Finding]:
    named = {one.what: one for one in found}
    assert len(named) == len(found)
    for one in found:
        assert one.remedy or one.state != "problem", one
        assert "\n" not in one.detail + one.remedy
    return named


def test_this_machine(tmp_path: Path) -> None:
    ended = subprocess.run([*COMMAND, "doctor", "--json"], capture_output=True, text=True, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    said = json.loads(ended.stdout)
    found = [Finding(**one) for one in said["findings"]]
    topics = list(dict.fromkeys(one.topic for one in found))
    assert topics == ["vbench", "machine", "engines", "versions", "gpu", "decoders", "disk", "data"]
    named = by_name(found)
    for what in ("ort CPU", "torch CPU", "PyAV", "Pillow"):
        assert named[what].state == "ok", named[what]
    assert not any("check itself failed" in one.remedy for one in found)
    assert said["works"] is True


def test_model_is_one_node() -> None:
    model = onnx.load_from_string(MODEL)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Conv"]
    assert tuple(axis.dim_value for axis in model.graph.input[0].type.tensor_type.shape.dim) == SHAPE


def test_package_that_cannot_be_imported(package: Package) -> None:
    package("onnxruntime", "raise ImportError('libonnxruntime.so.1: undefined symbol\\nmore')")
    result = run_probe("ort")
    assert result == ProbeResult(error="ImportError: libonnxruntime.so.1: undefined symbol")
    finding = by_name(engines.check({**NOTHING, "ort": result}))["ort CPU"]
    assert finding.state == "problem"
    assert finding.remedy == "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime"


@pytest.mark.parametrize(
    ("init", "output", "error"),
    [
        ("pass", "3", "RuntimeError: fell back to CPUExecutionProvider"),
        ("raise RuntimeError('no fallback wanted\\\\nsecond line')", "3", "RuntimeError: no fallback wanted"),
        (
            "os.write(2, b'error: libcudnn.so.9: cannot open shared object file: No such\\\\n'); raise RuntimeError",
            "3",
            "libcudnn.so.9: cannot open shared object file",
        ),
        ("os.write(2, b'terminate called\\\\n'); os.abort()", "3", "killed by SIGABRT: terminate called"),
        ("sys.exit(5)", "3", "SystemExit: 5"),
        ("os._exit(5)", "3", "exited with code 5"),
        ("time.sleep(60)", "3", "no response within 1.5 s"),
    ],
)
def test_provider_that_does_not_work(package: Package, init: str, output: str, error: str) -> None:
    package("onnxruntime", FAKE_ORT.format(init=init.replace("\\\\", "\\"), output=output))
    result = run_probe("ort-cuda", timeout_s=1.5 if "sleep" in init else 30)
    assert (result.error, result.works) == (error, False)
    results = {**NOTHING, "ort": ORT, "ort-cuda": result, "driver": DRIVER}
    finding = by_name(engines.check(results))["ort CUDA"]
    assert finding.detail == f"falls back to the CPU: {error}" or "sleep" in init
    assert (finding.state, finding.remedy) == ("problem", "pip install 'onnxruntime-gpu[cuda,cudnn]'")


def test_printing_is_harmless_and_output_is_checked(package: Package) -> None:
    package("onnxruntime", FAKE_ORT.format(init="os.write(1, b'hello'); print('{')", output="3"))
    result = run_probe("ort")
    assert result.works
    assert (result.get("version"), result.get("available")) == ("9.9", "CUDAExecutionProvider,CPUExecutionProvider")
    package("onnxruntime", FAKE_ORT.format(init="pass", output="2"))
    assert run_probe("ort").error == "RuntimeError: computed 2 instead of 3"


def test_only_installed_packages_are_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    probed = []
    facts = {
        "ort": {"available": "CUDAExecutionProvider,CPUExecutionProvider"},
        "torch": {"cuda": "13.0"},
    }

    def result(name: str) -> ProbeResult:
        probed.append(name)
        alone = probed.count(name) > 1
        return ProbeResult(facts=facts.get(name, {}), error="busy" if name == "ort-cuda" and not alone else "")

    monkeypatch.setattr(probe_client, "run_probe", result)
    monkeypatch.setattr(probe_client, "find_spec", lambda name: name in ("onnxruntime", "torch", "av") or None)
    results = run_probes()
    assert set(results) == set(PROBES) - {"precisions"}  # which runs alone
    assert sorted(probed) == ["av", "driver", "ort", "ort-cuda", "ort-cuda", "torch", "torch-cuda"]
    assert results["ort-cuda"].works  # on the second attempt, alone on the GPU


def test_the_speed_of_precisions_is_measured_where_openvino_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_client, "find_spec", lambda _: None)
    assert probe_precisions() == NOT_INSTALLED
    monkeypatch.undo()
    pytest.importorskip("openvino")
    result = probe_precisions()
    assert not result.error
    assert result.facts.keys() == {"bf16", "int8"}
    assert all(float(speed) > 0 for speed in result.facts.values() if speed)


@pytest.mark.parametrize(
    ("flags", "result", "bf16", "int8"),
    [
        (
            {"amx_bf16", "amx_int8", "avx512_bf16", "avx512_vnni"},
            ProbeResult(facts={"bf16": "5.1", "int8": "9.0"}),
            ("ok", "5.1x the speed of fp32 in openvino, with AMX and AVX512-BF16"),
            ("ok", "9.0x the speed of fp32 in openvino, with AMX and VNNI"),
        ),
        (
            {"avx_vnni"},
            ProbeResult(facts={"bf16": "", "int8": "2.0"}),
            ("absent", "no instructions for it; openvino does not compute in bf16 here"),
            ("ok", "2.0x the speed of fp32 in openvino, with VNNI"),
        ),
        (
            set(),
            ProbeResult(error="OSError: x"),
            ("problem", "instructions unknown; speed not measured: OSError: x"),
            ("problem", "instructions unknown; speed not measured: OSError: x"),
        ),
        (
            {"asimd", "i8mm"},
            NOT_INSTALLED,
            ("absent", "no instructions for it; speed not measured: openvino is not installed"),
            ("absent", "with Arm i8mm; speed not measured: openvino is not installed"),
        ),
    ],
)
def test_what_precisions_are_worth(
    monkeypatch: pytest.MonkeyPatch,
    flags: set[str],
    result: ProbeResult,
    bf16: tuple[str, str],
    int8: tuple[str, str],
) -> None:
    monkeypatch.setattr(precisions, "cpu_flags", lambda: frozenset(flags))
    found = by_name(precisions.check(result))
    assert [found[name][2:4] for name in ("bf16", "int8")] == [bf16, int8]


def test_absent_is_not_a_problem() -> None:
    found = engines.check(NOTHING) + engines.check_versions({**NOTHING, "driver": NO_DRIVER})
    assert {one.state for one in by_name(found).values() if one.what != "onnxruntime packages"} == {"absent"}
    assert not engines.any_engine_works(found)


def test_gpu_packages_without_a_driver() -> None:
    results = {**NOTHING, "ort": ORT, "torch": ProbeResult(facts={"version": "2.13.0", "cuda": "13.0", "tf32": "off"})}
    results |= {name: ProbeResult(error="x") for name in ("ort-cuda", "torch-cuda", "tensorrt", "pycuda")}
    found = by_name(engines.check({**results, "driver": NO_DRIVER}))
    for what in ("ort CUDA", "tensorrt", "pycuda"):
        assert found[what].state == "problem"
        assert "no NVIDIA driver" in found[what].detail
    assert found["torch CUDA"].state == "absent"  # pip's default torch, also on machines without a GPU
    assert engines.any_engine_works(list(found.values()))


@pytest.mark.parametrize("library", ["libnvinfer", "libnvonnxparser"])
@pytest.mark.parametrize(("bindings", "state"), [(None, "absent"), ("11.4.0.106", "problem")])
def test_tensorrt_in_onnxruntime_needs_tensorrt_10(
    bindings: str | None, state: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "installed_version", lambda _package: bindings)
    failed = ProbeResult(error=f"RuntimeError: {library}.so.10: cannot open shared object file")
    finding = by_name(engines.check({**NOTHING, "ort": ORT, "driver": DRIVER, "ort-tensorrt": failed}))["ort TensorRT"]
    assert finding.state == state
    assert "TensorRT 10" in finding.detail
    assert (bindings or "TensorRT 10") in finding.detail
    assert bindings or finding.remedy == "pip install 'tensorrt-cu13>=10,<11'"


def test_two_onnxruntime_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("onnxruntime", "onnxruntime_gpu"):
        folder = tmp_path / f"{name}-1.31.1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Name: {name.replace('_', '-')}\nVersion: 1.31.1\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    finding = by_name(engines.check_versions(NOTHING))["onnxruntime packages"]
    assert finding.state == "problem"
    assert finding.remedy == "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu"


@pytest.mark.parametrize(
    ("driver", "ort", "torch", "state", "remedy"),
    [
        ("13.0", "13.0", "13.0", "ok", ""),
        ("13.0", "13.0", "12.8", "problem", "https://download.pytorch.org/whl/cu130"),
        ("13.0", "12.2", "13.0", "problem", "https://download.pytorch.org/whl/cu126"),
        (
            "12.4",
            "13.0",
            "",
            "problem",
            "update NVIDIA's driver, or install packages built for a CUDA version that it supports",
        ),
        ("12.4", "", "12.8", "ok", ""),  # minor versions are compatible
        ("13.0", "", "", "ok", ""),
    ],
)
def test_cuda_versions(driver: str, ort: str, torch: str, state: str, remedy: str) -> None:
    facts = {"ort": ort, "torch": torch, "driver": driver}
    results = {**NOTHING, **{name: ProbeResult(facts={"cuda": version}) for name, version in facts.items()}}
    finding = by_name(engines.check_versions(results))["CUDA"]
    assert finding.state == state
    assert finding.remedy.endswith(remedy)


def look_at(nvml: FakeNvml | None, monkeypatch: pytest.MonkeyPatch, driver: ProbeResult = DRIVER) -> dict[str, Finding]:
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    found = by_name(gpu.check({**NOTHING, "driver": driver}))
    assert nvml is None or nvml.open == 0
    return found


def test_healthy_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    found = look_at(FakeNvml([FakeGpu()]), monkeypatch)
    assert {one.state for one in found.values()} == {"ok"}
    assert found["driver"].detail == "580.65.06, CUDA up to 13.0"
    assert found["gpu 0"].detail == "NVIDIA Fake, 0.5 of 80.0 GB used"
    assert found["gpu 0 clocks"].detail == "SM 345 MHz of 1980, memory 1593 MHz of 1593"
    assert found["gpu 0 throttling"].detail == "gpu_idle"


def test_gpu_with_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    own = SimpleNamespace(pid=os.getpid(), usedGpuMemory=1)
    results: dict[str, Any] = {
        "nvmlDeviceGetCurrentClocksEventReasons": 0x1 | 0x2 | 0x4 | 0x40,
        "nvmlDeviceGetPersistenceMode": 0,
        "nvmlDeviceGetEnforcedPowerLimit": 400_000,
        "nvmlDeviceGetMigMode": [1, 0],
        "nvmlDeviceGetEccMode": [0, 1],
        "nvmlDeviceGetComputeMode": 2,
        "nvmlDeviceGetComputeRunningProcesses": [own, BIG_PROCESS, QUIET_PROCESS],
    }
    found = look_at(FakeNvml([FakeGpu(), FakeGpu(results)]), monkeypatch)
    problems = {what: (one.detail, one.remedy) for what, one in found.items() if one.state == "problem"}
    assert set(problems) == {
        f"gpu 1 {what}" for what in ("throttling", "persistence", "power limit", "compute mode", "processes")
    }
    assert problems["gpu 1 persistence"][1] == "sudo nvidia-smi -i 1 -pm 1"
    assert problems["gpu 1 power limit"] == ("400 W, below the default of 700 W", "sudo nvidia-smi -i 1 -pl 700")
    assert problems["gpu 1 processes"][0] == "in use by pid 77 (2.1 GB), pid 4242"
    assert "hw_thermal_slowdown" in problems["gpu 1 throttling"][0]
    assert problems["gpu 1 throttling"][1].startswith("improve the cooling")
    assert found["gpu 1 ECC"].detail == "off, on after a reset"


def test_gpu_without_supported_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = FakeGpu()
    functions = [name for name in dir(FakeNvml([silent])) if name.startswith("nvmlDeviceGet") and "Handle" not in name]
    silent.answers = dict.fromkeys(functions, "NVMLError_NotSupported")
    found = look_at(FakeNvml([silent]), monkeypatch)
    assert {one.state for what, one in found.items() if what not in ("driver", "gpu 0")} == {"absent"}


@pytest.mark.parametrize(
    ("opens", "state"),
    [
        ("NVMLError_LibraryNotFound", "absent"),
        ("NVMLError_DriverNotLoaded", "problem"),
        ("NVMLError_LibRmVersionMismatch", "problem"),
        ("NVMLError_NoPermission", "problem"),
        ("NVMLError_GpuIsLost", "problem"),
    ],
)
def test_nvml_that_cannot_be_initialized(opens: str, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert look_at(FakeNvml(opens=opens), monkeypatch)["NVML"].state == state


def test_no_gpu_and_no_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    assert look_at(FakeNvml([]), monkeypatch)["NVML"].state == "absent"
    assert look_at(None, monkeypatch, NO_DRIVER)["NVML"].state == "absent"
    missing = look_at(None, monkeypatch)["NVML"]
    assert (missing.state, missing.remedy) == ("problem", "pip install nvidia-ml-py")


def test_limits_of_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (cpu.cpu_quota(tmp_path), cpu.memory_limit(tmp_path)) == (None, None)
    (tmp_path / "cpu.max").write_text("max 100000\n", encoding="utf-8")
    (tmp_path / "memory.max").write_text("max\n", encoding="utf-8")
    assert (cpu.cpu_quota(tmp_path), cpu.memory_limit(tmp_path)) == (None, None)
    (tmp_path / "cpu.max").write_text("50000 100000\n", encoding="utf-8")
    (tmp_path / "memory.max").write_text("1000000\n", encoding="utf-8")
    assert (cpu.cpu_quota(tmp_path), cpu.memory_limit(tmp_path)) == (0.5, 1000000)
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("25000\n", encoding="utf-8")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n", encoding="utf-8")
    assert cpu.cpu_quota(tmp_path) == 0.25
    for module in (cpu, cpus):
        monkeypatch.setattr(module, "cpu_quota", lambda: 0.5)
    finding = by_name(cpu.check())["cores"]
    assert finding.state == "ok"
    assert finding.detail.endswith("but this container is limited to 0.5 CPUs: engines use 1 thread")


def test_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for file, text in (
        ("bundles/b/manifest.json", "{}"),
        ("bundles/.b.tmp-0123456789abcdef/manifest.json", "{}"),
        ("runs/.1.tmp-0123456789abcdef/run.json", "{}"),
        ("runs/1/run.json", json.dumps({"schema_version": SCHEMA_VERSION, "complete": True})),
        ("runs/2/run.json", json.dumps({"schema_version": SCHEMA_VERSION, "complete": False})),
        ("runs/3/run.json", "{"),
        ("runs/4/run.json", '{"schema_version": 3, "complete": true}'),
    ):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text(text, encoding="utf-8")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=1e9))
    found = by_name([*disk.check(), *check_runs()])
    assert (found["bundles"].detail, found["runs"].detail) == ("1: b", "4, 1 unfinished: 2, 2 not readable: 3, 4")
    assert (found["this folder"].state, found["this folder"].detail) == ("problem", "1.0 GB free")


def test_data_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VBENCH_DATA", raising=False)
    assert [one.state for one in check_data(None)] == ["absent"]
    assert [one.state for one in check_data(tmp_path / "nowhere")] == ["problem"]
    monkeypatch.setenv("VBENCH_DATA", str(tmp_path))
    sthv2 = tmp_path / "sthv2"
    sthv2.mkdir()
    (tmp_path / "minikinetics").mkdir()
    found = by_name(check_data(None))
    assert (found["sthv2"].state, found["minikinetics"].state, found["others"].state) == (
        "problem",
        "problem",
        "absent",
    )
    (sthv2 / "val_videofolder.txt").write_text("".join(f"{n} 40 {n}\n" for n in range(100)), encoding="utf-8")
    assert "vbench data check sthv2" in by_name(check_data(None))["sthv2"].remedy
    for video in range(90):
        (sthv2 / "frames" / str(video)).mkdir(parents=True)
    assert by_name(check_data(None))["sthv2"][2:] == ("ok", "100 videos; 18 of the 20 checked have frames", "")


def test_failing_check_does_not_affect_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> Any:
        raise ValueError("first\nsecond")

    found = findings("topic", {"a": fails, "b": lambda: ok("fine")})
    assert [(one.state, one.detail) for one in found] == [("problem", "ValueError: first"), ("ok", "fine")]
    monkeypatch.setattr(diagnose_module, "run_probes", lambda: {})
    monkeypatch.setattr(diagnose_module, "probe_precisions", fails)
    monkeypatch.setattr(cpu, "check", fails)
    found = diagnose()
    assert [one.state for one in found if one.topic == "machine"] == ["problem", "problem"]
    topics = {one.topic: one.state for one in found}
    assert (topics["engines"], topics["disk"]) == ("problem", "absent")


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_no_engine_ends_with_3(
    options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(diagnose_module, "run_probes", lambda: {**NOTHING, "driver": NO_DRIVER})
    monkeypatch.setattr(diagnose_module, "probe_precisions", lambda: NOT_INSTALLED)
    monkeypatch.setattr(sys, "argv", ["vbench", "doctor", *options])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 3
    assert said.err == "vbench: no engine works on this machine; pip install onnxruntime\n"
    if options:
        assert json.loads(said.out)["works"] is False


def test_the_table() -> None:
    found = [
        Finding("engines", "ort CPU", "ok", "1.31.1"),
        Finding("engines", "openvino", "absent", "not installed", "pip install openvino"),
        Finding("gpu", "gpu 0 persistence", "problem", "off", "sudo nvidia-smi -i 1 -pm 1"),
    ]
    assert list(_lines(found)) == [
        "engines",
        "  ok       ort CPU            1.31.1",
        "  absent   openvino           not installed (pip install openvino)",
        "gpu",
        "  problem  gpu 0 persistence  off",
        "           remedy: sudo nvidia-smi -i 1 -pm 1",
        "problems: 1",
    ]
