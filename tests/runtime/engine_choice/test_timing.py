"""Measuring candidates: on real engines, and with engines that fail or compute something else."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from vbench.errors import MissingError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.engine_choice import timing
from vbench.runtime.engine_choice.candidates import Candidate
from vbench.runtime.engine_choice.timing import measure
from vbench.runtime.engines.options import EngineOptions
from vbench.runtime.telemetry.load import load_text

ORT, OPENVINO, BF16 = Candidate("ort", "fp32"), Candidate("openvino", "fp32"), Candidate("openvino", "bf16")


class ScriptedEngine:
    """Engine whose output is a constant."""

    def __init__(self, output: float) -> None:
        self.output = output
        self.rows = set[int]()

    def put(self, array: Any) -> Any:
        return array

    def get(self, handle: Any) -> Any:
        return handle

    def run(self, _part: str, *inputs: Any) -> Any:
        self.rows.add(len(inputs[0]))
        return np.array([1.0, self.output], np.float32)


def script(monkeypatch: pytest.MonkeyPatch, outputs: Mapping[Candidate, float | None]) -> dict[Candidate, Any]:
    """Replace the engines by some with these outputs; None: cannot be loaded."""
    engines = {each: ScriptedEngine(output) for each, output in outputs.items() if output is not None}

    def load(name: str, _bundle: object, options: EngineOptions) -> Any:
        candidate = Candidate(name, options.precision)
        assert (options.engine, options.parts) == (name, frozenset(["backbone"]))
        if candidate not in engines:
            raise MissingError(f"{candidate} is broken", "reinstall it")
        return engines[candidate]

    monkeypatch.setattr(timing, "load_engine", load)
    return engines


def test_real_engines(tiny_bundle: Bundle) -> None:
    pytest.importorskip("openvino")
    found = measure(tiny_bundle, EngineOptions(), [ORT, OPENVINO], "backbone", 3)
    assert found["times_ms"].keys() == {"ort fp32", "openvino fp32"}
    assert all(0 < time_ms < 1e4 for time_ms in found["times_ms"].values())
    assert found["failed"] == {}
    assert load_text(found["load"]).startswith("measured on ")


def test_an_engine_that_fails_is_left_out(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    engines = script(monkeypatch, {ORT: 0.5, OPENVINO: None})
    found = measure(tiny_bundle, EngineOptions(), [ORT, OPENVINO], "backbone", 3)
    assert found["times_ms"].keys() == {"ort fp32"}
    assert found["failed"] == {"openvino fp32": "openvino fp32 is broken; reinstall it"}
    assert engines[ORT].rows == {3}


def test_if_all_fail_the_first_error_is_raised(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, {})
    with pytest.raises(MissingError, match=r"^ort fp32 is broken; reinstall it$"):
        measure(tiny_bundle, EngineOptions(), [ORT, OPENVINO], "backbone", 1)


def test_a_process_that_gets_no_cpu_is_disturbed(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, {ORT: 0.5})
    process = iter([10.0, 10.0])
    monkeypatch.setattr(time, "process_time", lambda: next(process))
    found = measure(tiny_bundle, EngineOptions(), [ORT], "backbone", 1)
    assert found["unsteady"] == "other processes left only 0.00 CPUs"


def test_a_wide_spread_is_a_disturbance(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, {ORT: 0.5, OPENVINO: 0.5})
    monkeypatch.setattr(timing, "_LEAST_CPUS", 0)
    monkeypatch.setattr(timing, "wide_spread", lambda _: "varies")
    assert measure(tiny_bundle, EngineOptions(), [ORT, OPENVINO], "backbone", 1)["unsteady"] == "ort fp32 varies"


@pytest.mark.parametrize(("output", "exact"), [(0.5005, True), (0.49, False), (float("nan"), False)])
def test_fp32_must_be_fp32(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, output: float, exact: bool) -> None:
    script(monkeypatch, {ORT: 0.5, OPENVINO: output, BF16: 0.4})
    found = measure(tiny_bundle, EngineOptions(), [ORT, OPENVINO, BF16], "backbone", 1)
    assert found["times_ms"].keys() == {"ort fp32", "openvino bf16"} | ({"openvino fp32"} if exact else set())
    assert found["failed"].keys() == (set() if exact else {"openvino fp32"})
    if not exact:
        assert found["failed"]["openvino fp32"].startswith("its results differ from those of ort fp32 by ")


@pytest.mark.slow
def test_full_size_engines_agree(golden_bundle: Bundle) -> None:
    pytest.importorskip("openvino")
    assert measure(golden_bundle, EngineOptions(), [ORT, OPENVINO], "backbone", 1)["failed"] == {}
