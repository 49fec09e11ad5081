from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from vbench.bench.benchmark.contender import all_frames_of, original_of, reference_of
from vbench.bench.benchmark.matrix import Matrix, choose_contenders
from vbench.bench.benchmark.options import BenchOptions
from vbench.errors import MissingError, UsageError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.bundle.manifest import FlexibleManifest, FrameExitManifest, Manifest
from vbench.runtime.engines.options import EngineOptions

NOT_INSTALLED = "not installed"
HERE = {"ort CPU": "", "openvino": "", "torch CPU": "", "tensorrt": NOT_INSTALLED, "tensorrt-rtx": NOT_INSTALLED}
BF16 = frozenset({"avx512_bf16"})


@pytest.fixture
def frameexit_manifest(tiny_bundle: Bundle[FrameExitManifest]) -> Manifest:
    return tiny_bundle.manifest


@pytest.fixture
def flexible_manifest(flexible_bundle: Callable[[str, str], Bundle[FlexibleManifest]]) -> Manifest:
    return flexible_bundle("tsm", "folded").manifest


def choose(manifest: Manifest, available: dict[str, str] | None = None, **options: Any) -> Matrix:
    return choose_contenders(
        manifest, BenchOptions(**options), EngineOptions(), HERE if available is None else available, BF16
    )


def names(matrix: Matrix) -> list[str]:
    return [one.name for one in matrix.contenders]


def test_the_default_matrix_has_baselines_engines_and_schedules(frameexit_manifest: Manifest) -> None:
    assert names(choose(frameexit_manifest)) == [
        "PyTorch as the original",
        "torch.compile",
        "ort fp32, sequential",
        "ort fp32, sequential, all frames",
        "ort fp32, inflight 8",
        "ort fp32, inflight 8, all frames",
        "openvino fp32, sequential",
        "openvino fp32, sequential, all frames",
        "openvino fp32, inflight 8",
        "openvino fp32, inflight 8, all frames",
        "openvino bf16, sequential",
        "openvino bf16, sequential, all frames",
        "openvino bf16, inflight 8",
        "openvino bf16, inflight 8, all frames",
    ]


def test_every_frame_count_is_measured_against_the_largest(flexible_manifest: Manifest) -> None:
    matrix = choose(flexible_manifest, engines=("ort",), schedules=("sequential",))
    assert names(matrix)[:5] == [
        *(f"PyTorch as the original, {frames} frames" for frames in (2, 4, 6, 8)),
        "torch.compile, 8 frames",
    ]
    four = next(one for one in matrix.contenders if one.name == "ort fp32, 4 frames, sequential")
    largest = all_frames_of(four, matrix.contenders)
    assert largest is not None
    assert largest.frames == 8
    assert all_frames_of(largest, matrix.contenders) is None
    original = original_of(four, matrix.contenders)
    assert original is not None
    assert original.frames == 4


def test_each_contender_has_the_reference_with_the_same_steps(frameexit_manifest: Manifest) -> None:
    contenders = choose(frameexit_manifest).contenders
    references = {one.name: reference_of(one, contenders) for one in contenders}
    assert references["PyTorch as the original"] is None
    assert references["openvino bf16, inflight 8"] is contenders[0]
    assert references["ort fp32, sequential, all frames"] is None
    every = references["openvino fp32, sequential, all frames"]
    assert every is not None
    assert every.name == "ort fp32, sequential, all frames"


def test_early_exits_are_compared_with_all_frames_of_the_same_kind(frameexit_manifest: Manifest) -> None:
    contenders = choose(frameexit_manifest).contenders
    found = {one.name: all_frames_of(one, contenders) for one in contenders}
    every = found["openvino bf16, inflight 8"]
    assert every is not None
    assert every.name == "openvino bf16, inflight 8, all frames"
    assert found["PyTorch as the original"] is None
    assert found["ort fp32, sequential, all frames"] is None


def test_slots_and_schedules_can_be_chosen(frameexit_manifest: Manifest) -> None:
    matrix = choose(frameexit_manifest, engines=("ort",), schedules=("sequential", "compact"), slots=(2, 4))
    early = [one.name for one in matrix.contenders if one.procedure == "network" and not one.every_step]
    assert early == ["ort fp32, sequential", "ort fp32, compact 2", "ort fp32, compact 4"]


def test_speculative_next_frames(frameexit_manifest: Manifest, flexible_manifest: Manifest) -> None:
    options = {"engines": ("ort",), "schedules": ("inflight",), "syncs": ("step", "speculative")}
    early = [one.name for one in choose(frameexit_manifest, **options).contenders[2:] if not one.every_step]
    assert early == ["ort fp32, inflight 8", "ort fp32, inflight 8 speculative"]
    with pytest.raises(UsageError, match="--sync speculative works only with FrameExit"):
        choose(flexible_manifest, **options)


def test_a_precision_that_the_cpu_lacks_is_absent_with_the_reason(frameexit_manifest: Manifest) -> None:
    found = choose_contenders(frameexit_manifest, BenchOptions(), EngineOptions(), HERE, frozenset())
    assert ("openvino bf16", "this CPU has none of amx_bf16, avx512_bf16") in found.absent


def test_a_precision_that_the_bundle_lacks_is_absent_with_the_reason(frameexit_manifest: Manifest) -> None:
    found = choose(frameexit_manifest, precisions=("fp32", "int8"), engines=("ort",))
    assert ("ort int8", "the bundle has fp32") in found.absent


def test_only_precisions_that_the_bundle_lacks_are_an_error(frameexit_manifest: Manifest) -> None:
    with pytest.raises(UsageError, match="ort int8: the bundle has fp32"):
        choose(frameexit_manifest, precisions=("int8",), engines=("ort",))


def test_a_requested_engine_that_does_not_work_is_absent_with_the_reason(frameexit_manifest: Manifest) -> None:
    found = choose(frameexit_manifest, engines=("ort", "trt"))
    assert ("trt", NOT_INSTALLED) in found.absent
    assert not any(name.startswith("trt") for name in names(found))


def test_an_engine_that_is_not_installed_is_left_out_silently_unless_requested(frameexit_manifest: Manifest) -> None:
    assert not any(one.name == "trt" for one in choose(frameexit_manifest).absent)


def test_no_working_engine_is_an_error_with_all_reasons(frameexit_manifest: Manifest) -> None:
    broken = {"ort CPU": "cannot import", "openvino": "cannot load", "torch CPU": NOT_INSTALLED}
    broken |= {"tensorrt": "no GPU", "tensorrt-rtx": "no GPU"}
    with pytest.raises(MissingError, match=r"ort: cannot import; openvino: cannot load"):
        choose(frameexit_manifest, broken)


def test_without_torch_the_first_exact_contender_is_the_reference(frameexit_manifest: Manifest) -> None:
    matrix = choose(frameexit_manifest, {**HERE, "torch CPU": NOT_INSTALLED})
    assert ("PyTorch as the original", NOT_INSTALLED) in matrix.absent
    reference = reference_of(matrix.contenders[-2], matrix.contenders)
    assert reference is not None
    assert reference.name == "ort fp32, sequential"


def test_frame_counts_are_only_for_frame_flexible_networks(frameexit_manifest: Manifest) -> None:
    with pytest.raises(UsageError, match="does not offer a choice of frame counts"):
        choose(frameexit_manifest, frames=(4,))


def test_an_unknown_frame_count_is_an_error(flexible_manifest: Manifest) -> None:
    with pytest.raises(UsageError, match="--frames 5"):
        choose(flexible_manifest, frames=(5,))


@pytest.mark.parametrize(
    "wrong",
    [
        {"engines": ("abacus",)},
        {"engines": ()},
        {"schedules": ("chaotic",)},
        {"slots": (0,)},
        {"syncs": ("late",)},
        {"syncs": ()},
        {"min_repeats": 1},
        {"max_minutes": 0.0},
        {"max_minutes": float("nan")},
        {"precisions": ()},
    ],
)
def test_wrong_options_are_one_line(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        BenchOptions(**wrong).check()


def test_options_survive_their_record() -> None:
    options = BenchOptions(engines=("ort",), slots=(1, 8), frames=(4,), max_minutes=2.5)
    assert BenchOptions.from_record(options.record()) == options
    assert BenchOptions.from_record(replace(options, engines=None).record()).engines is None
