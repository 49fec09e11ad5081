"""GPU options: invalid combinations, errors without the hardware, and GPU names."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch

from tests.cuda_ort import CUDA
from tests.cuda_runs import gpu, one_gpu, one_line
from vbench.errors import MissingError, UsageError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.engines import device
from vbench.runtime.engines.base import EngineOptions, load_engine

__all__ = ["gpu", "one_gpu"]  # fixtures


def test_without_the_hardware(tiny_bundle: Bundle) -> None:
    if CUDA in onnxruntime.get_available_providers() or torch.cuda.is_available():
        pytest.skip("the hardware or its package is present")
    options = EngineOptions(device="cuda")
    assert "built without CUDA" in one_line(lambda: load_engine("ort", tiny_bundle, options), MissingError)
    assert "without CUDA" in one_line(lambda: load_engine("torch", tiny_bundle, options), MissingError)


def test_openvino_has_no_cuda(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)  # reported before the import
    options = EngineOptions(device="cuda")
    assert "openvino engine runs only on the CPU" in one_line(
        lambda: load_engine("openvino", tiny_bundle, options), UsageError
    )


@pytest.mark.parametrize("engine", ["ort", "openvino", "torch"])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"device": "cuda:"}, "unknown device 'cuda:'"),
        ({"device": "cuda", "provider": "abacus"}, "unknown provider 'abacus'"),
        ({"provider": "tensorrt"}, "--provider tensorrt"),
        ({"graphs": True}, "--graphs requires a GPU"),
        ({"precision": "tf32", "device": "cuda", "provider": "tensorrt"}, "--provider tensorrt"),
        ({"precision": "tf32"}, "--precision tf32 requires a GPU"),
        ({"precision": "tf32", "device": "cpu"}, "--precision tf32 requires a GPU"),
        ({"device": "cuda", "provider": "tensorrt", "graphs": True}, "--provider tensorrt"),
    ],
)
@pytest.mark.usefixtures("gpu")
def test_options_that_no_engine_supports(tiny_bundle: Bundle, engine: str, options: dict[str, Any], said: str) -> None:
    text = one_line(lambda: load_engine(engine, tiny_bundle, EngineOptions(**options)), UsageError)
    assert said in text


def test_names_of_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert device.gpu_names() == ()
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho ' NVIDIA A '\necho NVIDIA B\n")
    tool.chmod(0o755)
    assert device.gpu_names() == ("NVIDIA A", "NVIDIA B")
    tool.write_text("#!/bin/sh\necho no driver\nexit 9\n")
    assert device.gpu_names() == ()
    assert device.gpu_name(()) == "unknown GPU"
    assert device.gpu_name(("B", "A", "B")) == "A or B"
