"""The GPU check without a GPU: crashes, hangs and wrong predictions become lines of a complete record."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import FlexibleBundle
from tests.gpu_contenders import CLIPS, GOOD, TINY, made_up
from tools.gpu_check import clips
from tools.gpu_check.answers import ClipAnswers, Pass, WorkerRequest
from tools.gpu_check.contenders import CONTENDERS
from tools.gpu_check.counts import GOLDEN, AtCount, _against_the_original, counts
from tools.gpu_check.goldens import Compared, audit, comparison_result, goldens
from tools.gpu_check.latency import StepLatency, latency
from tools.gpu_check.process import Worker, WorkerError
from tools.gpu_check.run import check
from tools.gpu_check.settings import Limits, WorkerConfig
from tools.gpu_check.throughput import Measured, _row, throughput
from tools.gpu_check.worker import ending_at
from vbench.errors import CheckError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.bundle.manifest import FlexibleManifest, FrameExitManifest


@pytest.fixture(scope="module")
def config(tiny_bundle: Bundle[FrameExitManifest], tmp_path_factory: pytest.TempPathFactory) -> WorkerConfig:
    folder = tmp_path_factory.mktemp("clips")
    clips.draw(folder, tiny_bundle.manifest, CLIPS)
    return WorkerConfig(tiny_bundle.path, folder, 8)


@pytest.mark.slow
def test_answers_crashes_and_hangs(config: WorkerConfig) -> None:
    """One section with every kind of failure: the remaining contenders are still compared."""
    there = [GOOD, made_up("good"), made_up("wrong"), made_up("refused"), made_up("crashing"),
             made_up("crashing_later"), made_up("hanging")]  # fmt: skip
    limits = Limits(question_s=6)
    section = goldens(there, config, replace(TINY, limits=limits), originals=False)
    failures = {failure.contender: failure.error for failure in section.failures}
    assert failures == {
        "refused": "RuntimeError: no such kernel",
        "crashing": "exited with code 7: CUDA error: misaligned address",
        "crashing_later": failures["crashing_later"],
        "hanging": "float clips, sequential: no reply within 6 s",
    }
    assert failures["crashing_later"].startswith("float clips, sequential: killed by SIGABRT")
    results = [one for one in section.measured if isinstance(one, Compared)]
    same = [one for one in results if one.contender == "good"]
    assert [(one.clips, one.schedule) for one in same] == [
        ("float", "sequential"),
        ("float", "inflight"),
        ("float", "speculative"),
        ("frames", "sequential"),
    ]
    assert all(one.identical and one.logits_difference is not None for one in same)
    others = [one for one in results if one.contender == "wrong"]
    assert len(others) == 4
    assert all(len(one.steps_changed) == CLIPS and comparison_result(one) == "**NOT identical**" for one in others)
    assert sum("**NOT identical**" in row for row in section.tables[0].rows) == 4


def test_audit_counts_changes(config: WorkerConfig) -> None:
    section = audit([GOOD, made_up("wrong", precision="fp16")], config, TINY)
    assert not section.failures
    assert {row[5] for row in section.tables[0].rows if row[0] == "wrong"} == {f"{CLIPS} clips changed"}


def test_latency_and_throughput(config: WorkerConfig) -> None:
    results = latency([GOOD, made_up("crashing")], config, TINY, 10)
    assert [one.exit_step for one in results.measured if isinstance(one, StepLatency)] == list(range(1, 11))
    assert {len(one.samples_ms) for one in results.measured if isinstance(one, StepLatency)} == {4}
    assert [failure.contender for failure in results.failures] == ["crashing"]
    passes = throughput([GOOD, made_up("refused")], config, TINY)
    assert [(one.slots, one.schedule) for one in passes.measured if isinstance(one, Measured)] == [
        (slots, schedule) for slots in (1, 2) for schedule in ("all", "lockstep", "inflight", "speculative")
    ]
    assert all(len(one.passes) == 2 for one in passes.measured if isinstance(one, Measured))
    assert [failure.contender for failure in passes.failures] == ["refused"]
    json.dumps([asdict(one) for one in passes.measured])  # type: ignore[call-overload]


def test_section_timeout(config: WorkerConfig) -> None:
    section = latency([GOOD], config, replace(TINY, limits=Limits(section_s=0)), 10)
    assert [failure.contender for failure in section.failures] == ["all"]
    assert "the section exceeded its 0 s" in section.failures[0].error


def test_worker_start_timeout(config: WorkerConfig) -> None:
    worker = Worker(GOOD, config)
    with pytest.raises(WorkerError, match="no reply within 0 s"):
        worker.start(0)
    worker.close()
    worker.close()


def test_worker_survives_a_rejected_request(config: WorkerConfig) -> None:
    worker = Worker(GOOD, config)
    try:
        assert worker.start(120)["precision"] == "fp32"
        with pytest.raises(WorkerError, match="KeyError: 'nonsense'"):
            worker.ask(WorkerRequest("nonsense"), 60)
        assert len(worker.ask(WorkerRequest("latency", exit_step=2, videos=3), 60)) == 3
    finally:
        worker.close()


def test_goldens_without_a_reference(config: WorkerConfig) -> None:
    section = goldens([made_up("good", gpu=True)], config, TINY, originals=False)
    assert [failure.contender for failure in section.failures] == ["reference"]
    assert not section.measured


def test_ending_at() -> None:
    assert [ending_at(step, 10).threshold_at(step) for step in range(1, 10)] == [0.0] * 9
    assert {ending_at(10, 10).threshold_at(step) for step in range(1, 10)} == {1.0}
    assert ending_at(2, 2).route((1, 1)) == (1, 2)


def test_throughput_row() -> None:
    gpu = {"sm_clock_mhz": {"median": 1980.0}, "joules_per_video": 0.5, "throttled": [{"reason": "sw_power_cap"}]}
    every, some = (Pass(seconds, 10, macs, 1.0, 0.01, gpu) for seconds, macs in ((4.0, 200.0), (2.5, 100.0)))
    row = _row(Measured("trt fp16", 8, "inflight", (some,), (every,)))
    assert row[2:6] == ("4.00 [4.00 .. 4.00]", "1.60 [1.60 .. 1.60]", "2.00", "**0.800** [0.800 .. 0.800]")
    assert row[6:] == ("1.00 %", "1980", "sw_power_cap", "0.500")


def test_missing_engines_are_recorded(config: WorkerConfig) -> None:
    """A missing engine or option is a line in the record, as is a GPU engine without a GPU."""
    names = ("ort CUDA", "torch CUDA, TF32", "trt fp32")
    section = audit([GOOD, *(replace(one, precision="tf32") for one in CONTENDERS if one.name in names)], config, TINY)
    assert {failure.contender for failure in section.failures} == set(names)
    assert all("\n" not in failure.error for failure in section.failures)


def test_an_error_in_a_section_does_not_stop_the_others(
    tiny_bundle: Bundle[FrameExitManifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.gpu_check.run.latency", lambda *_: 1 // 0)

    def no_torch() -> Bundle[FlexibleManifest]:
        raise CheckError("tsm_ffn_r50 cannot be exported here: no torch", "export it elsewhere")

    sections = ("latency", "audit", "counts")
    results = list(check(tiny_bundle, [], TINY, sections, tmp_path, flexible=no_torch))
    assert [section.name for section in results] == ["audit", "latency", "counts"]
    assert results[1].failures[0].error.startswith("ZeroDivisionError")
    assert "cannot be exported here: no torch" in results[2].failures[0].error


def test_frame_counts(flexible_bundle: FlexibleBundle, tmp_path: Path) -> None:
    bundle = flexible_bundle("tsm")
    there = [made_up("counted", name="reference"), made_up("counted", name="gpu", gpu=True),
             made_up("miscounted"), made_up("counted_once"), made_up("refused")]  # fmt: skip
    section = counts(there, lambda: bundle, tmp_path / "counts", replace(TINY, cpu_slots=1), originals=False)
    assert {failure.contender: failure.error for failure in section.failures} == {
        "refused": "RuntimeError: no such kernel",
        "counted_once": "4 frames: UsageError: the bundle was loaded only for 2 frames, not for 4; load the "
        "bundle without frames=",
    }
    results = {(one.contender, one.frames): one for one in section.measured if isinstance(one, AtCount)}
    assert [frames for name, frames in results if name == "gpu"] == [2, 4, 6, 8]
    assert [frames for name, frames in results if name == "counted_once"] == [2]
    assert results["reference", 4].logits_difference is None
    assert (results["gpu", 4].classes_changed, results["gpu", 4].logits_difference) == (0, 0)
    assert results["miscounted", 4].classes_changed == 2
    assert len(results["gpu", 8].samples_ms) == 2 * 2, "the first turn is a warm-up"
    assert {slots: len(passes) for slots, passes in results["gpu", 8].passes} == {1: 2, 3: 2}
    assert {slots for slots, _ in results["reference", 8].passes} == {1}, "large batches are for GPUs"
    assert section.tables[0].head[-2:] == ("clips/s, slots 1", "clips/s, slots 3")
    assert section.tables[0].rows[0][:4] == ("reference", "2", "0", "reference")
    json.dumps([asdict(one) for one in section.measured])  # type: ignore[call-overload]


def test_frame_counts_without_a_reference(flexible_bundle: FlexibleBundle, tmp_path: Path) -> None:
    there = [made_up("counted", gpu=True)]
    section = counts(there, lambda: flexible_bundle("tsm"), tmp_path / "counts", TINY, originals=False)
    assert [failure.contender for failure in section.failures] == ["reference"]
    assert not section.measured


def test_frame_counts_timeout(flexible_bundle: FlexibleBundle, tmp_path: Path) -> None:
    settings = replace(TINY, limits=Limits(section_s=0))
    there = [made_up("counted")]
    section = counts(there, lambda: flexible_bundle("tsm"), tmp_path / "counts", settings, originals=False)
    assert [failure.contender for failure in section.failures] == ["all"], "no contender is blamed"


def test_the_reference_is_compared_with_the_original() -> None:
    with np.load(GOLDEN) as arrays:
        expected = arrays["tsm_ffn_r50/T8/logits"]
    base = ClipAnswers((0,) * 5, (1,) * 5, tuple(map(tuple, np.concatenate([expected, expected[:2]]) + 0.25)))
    assert _against_the_original(base, 8) == "Reference versus the original code at 8 frames: 2.5e-01 over 3 clips."
