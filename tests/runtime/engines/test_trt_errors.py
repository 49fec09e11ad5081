"""Errors of the engine trt: one line with a hint, for missing, rejected, exhausted or failing components."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

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
from vbench.errors import BundleError, CheckError, MissingError, UsageError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.engines.base import EngineOptions, load_engine
from vbench.runtime.load import load
from vbench.runtime.scheduler.options import StreamOptions

__all__ = ["bundle", "flavor", "machine"]  # fixtures


@pytest.mark.usefixtures("machine")
class TestErrors:
    def test_no_cuda_python(self, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without cuda-python there are no CUDA graphs; all other behavior is the same."""
        monkeypatch.setitem(sys.modules, "cuda.bindings", None)
        network = load(bundle.path, "trt", policy=POLICY, slots=1)
        assert_equal(
            answers(network, StreamOptions(), clips()),
            answers(load(bundle.path, "ort", policy=POLICY), StreamOptions(), clips()),
        )
        assert network.engine.describe()["cuda_graphs"].startswith("off: cuda-bindings cannot be imported")

    def test_no_tensorrt_libraries(self, machine: Any, bundle: Bundle) -> None:
        machine.faults.libnvinfer = True
        one_line(lambda: said(bundle), MissingError, "is installed but cannot be loaded", ".so.")

    def test_no_driver(self, machine: Any, bundle: Bundle) -> None:
        machine.faults.driver = True
        one_line(lambda: said(bundle), MissingError, "cannot load the CUDA driver")

    def test_no_device(self, machine: Any, bundle: Bundle) -> None:
        machine.faults.device = True
        one_line(lambda: said(bundle), MissingError, "no CUDA-capable device")

    @pytest.mark.parametrize("package", ["pycuda", "onnxruntime"])
    def test_no_package(self, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
        monkeypatch.setitem(sys.modules, package, None)
        one_line(lambda: said(bundle), MissingError, f"{package} is not installed", "pip install")

    def test_out_of_memory(self, bundle: Bundle) -> None:
        engine: Any = load_engine("trt", bundle, EngineOptions(slots=2))
        text = one_line(lambda: engine.zeros((1 << 40,)), MissingError, "cannot allocate 4398046.5 MB")
        assert "--slots" in text

    def test_out_of_memory_while_loading(self, machine: Any, bundle: Bundle) -> None:
        said(bundle)
        machine.memory.total = machine.memory.used + 1
        one_line(lambda: said(bundle), MissingError, "not enough GPU memory", "--slots")

    def test_no_plan(self, machine: Any, bundle: Bundle) -> None:
        machine.faults.build = True
        one_line(lambda: said(bundle), BundleError, "cannot build a plan")

    def test_no_kernel_for_a_grouped_convolution(
        self, tiny_quantized_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flavor: str
    ) -> None:
        trt = import_module("tensorrt_rtx_bindings" if flavor == "rtx" else "tensorrt")

        def refuse(builder: Any, *_: object) -> None:
            builder.logger.log(trt.ILogger.Severity.ERROR, "no low-precision conv kernel:\nkeep Conv in FP32")

        monkeypatch.setattr(trt.Builder, "build_serialized_network", refuse)
        bundle = copied(tiny_quantized_bundle, tmp_path / "quantized")
        one_line(lambda: said(bundle, precision="fp16"), BundleError, "no low-precision conv", "--precision fp32")

    def test_failing_run(self, machine: Any, bundle: Bundle) -> None:
        engine: Any = load_engine("trt", bundle, EngineOptions(slots=2))
        machine.faults.execute = 1
        one_line(lambda: engine.run("backbone", engine.zeros((1, 3, 32, 32))), CheckError, "backbone")

    def test_full_disk(self, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
        write = Path.write_bytes

        def full(path: Path, data: bytes) -> int:
            if path.suffix == ".plan":
                write(path, data[:10])
                raise OSError(28, "No space left on device")
            return write(path, data)

        monkeypatch.setattr(Path, "write_bytes", full)
        one_line(lambda: said(bundle), MissingError, "no space left on the disk")
        assert not list((bundle.path / "plans").glob("*/*.plan*"))
        assert not list((bundle.path / "plans").glob("*/.*.plan*"))
        monkeypatch.setattr(Path, "write_bytes", write)
        said(bundle)
        assert plan_files(bundle)

    def test_folder_that_cannot_be_written(self, bundle: Bundle) -> None:
        (bundle.path / "plans").write_text("a file")
        one_line(lambda: said(bundle), UsageError, "plans")

    def test_no_such_precision(self, bundle: Bundle) -> None:
        one_line(lambda: said(bundle, precision="fp16"), BundleError, "this bundle has no fp16")

    def test_no_slots(self, bundle: Bundle) -> None:
        one_line(lambda: said(bundle, slots=0), UsageError, "--slots")
