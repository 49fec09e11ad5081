"""What ``--engine auto`` and ``--precision auto`` choose among, and options that fit no candidate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vbench.errors import MissingError, UsageError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.engine_choice import candidates as module
from vbench.runtime.engine_choice.candidates import Candidate, candidates, engine_versions
from vbench.runtime.engines.options import AUTO, EngineOptions

ORT, OPENVINO = Candidate("ort", "fp32"), Candidate("openvino", "fp32")


def options(**changes: Any) -> EngineOptions:
    return EngineOptions(**{"engine": AUTO, **changes})


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Make these packages the installed ones."""
    names = {"onnxruntime", "openvino"}
    monkeypatch.setattr(module, "find_spec", lambda name: name if name in names else None)
    return names


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["ort fp32", "openvino fp32"]),
        ({"precision": "int8"}, ["ort int8", "openvino int8"]),
        ({"precision": "bf16"}, ["openvino bf16"]),
        ({"precision": AUTO}, ["ort fp32", "openvino fp32", "openvino bf16", "ort int8", "openvino int8"]),
        (
            {"precision": AUTO, "max_flips": 0.5, "engine": "openvino"},
            ["openvino fp32", "openvino bf16", "openvino int8"],
        ),
        ({"device": "cpu"}, ["ort fp32", "openvino fp32"]),
        # options that only ONNX Runtime has, on a GPU
        ({"device": "cuda"}, ["ort fp32"]),
        ({"device": "cuda", "precision": "tf32"}, ["ort tf32"]),
        ({"provider": "tensorrt"}, ["ort fp32"]),
        ({"graphs": True}, ["ort fp32"]),
        # the engine's own error lists the precisions
        ({"precision": "fp8"}, ["ort fp8"]),
    ],
)
def test_the_options_select_the_candidates(
    tiny_quantized_bundle: Bundle, changes: dict[str, Any], expected: list[str]
) -> None:
    assert list(map(str, candidates(tiny_quantized_bundle.manifest, options(**changes)))) == expected


def test_a_bundle_without_int8(tiny_bundle: Bundle) -> None:
    found = candidates(tiny_bundle.manifest, options(precision=AUTO))
    assert list(map(str, found)) == ["ort fp32", "openvino fp32", "openvino bf16"]


def test_only_installed_engines_are_candidates(tiny_bundle: Bundle, installed: set[str]) -> None:
    installed.remove("onnxruntime")
    assert candidates(tiny_bundle.manifest, options()) == [OPENVINO]
    installed.remove("openvino")
    with pytest.raises(MissingError, match=r"^onnxruntime is not installed; pip install onnxruntime$"):
        candidates(tiny_bundle.manifest, options())
    with pytest.raises(MissingError, match=r"^openvino is not installed; pip install openvino$"):
        candidates(tiny_bundle.manifest, options(precision="bf16"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"checkpoint": Path("x.pth")}, "--checkpoint is for the torch engine, .*; add --engine torch, or omit"),
        ({"max_flips": 1.0}, "--max-flips applies only to --precision auto; add --precision auto, or omit"),
        ({"max_flips": -1.0, "precision": AUTO}, "--max-flips must be >= 0, got -1; pass a percentage of videos"),
        ({"max_flips": float("nan"), "precision": AUTO}, "--max-flips must be >= 0, got nan"),
        (
            {"engine": "torch", "precision": AUTO},
            "--precision auto does not apply to the torch engine; name a precision",
        ),
        ({"device": "cuda", "precision": AUTO}, "--precision auto chooses only on the CPU; name a precision"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
    ],
)
def test_options_that_fit_no_candidate(tiny_bundle: Bundle, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=f"^{words}"):
        candidates(tiny_bundle.manifest, options(**changes))


def test_versions_of_an_engine_include_its_variants() -> None:
    found = {"numpy": "2", "onnxruntime-gpu": "1.22", "openvino": "2026.1"}
    assert engine_versions({"ort"}, found) == {"onnxruntime-gpu": "1.22"}
    assert engine_versions({"ort", "openvino"}, found) == {"onnxruntime-gpu": "1.22", "openvino": "2026.1"}
