"""Contenders on a GPU: engines with their variants and precisions, chosen without one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.conftest import FlexibleBundle
from vbench.bench.benchmark.contender import reference_of
from vbench.bench.benchmark.matrix import Matrix, choose_contenders
from vbench.bench.benchmark.options import BenchOptions
from vbench.bench.benchmark.variants import (
    engine_variants,
    known_precisions,
    own_precisions,
    plain_variant,
    variant_name,
    why_absent,
)
from vbench.errors import UsageError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.bundle.manifest import FrameExitManifest
from vbench.runtime.engines.options import EngineOptions

EVERYTHING = dict.fromkeys(
    (
        "ort CPU",
        "ort CUDA",
        "ort TensorRT",
        "openvino",
        "torch CPU",
        "torch CUDA",
        "tensorrt",
        "tensorrt-rtx",
        "pycuda",
    ),
    "",
)
BUNDLE = ("fp32", "fp16", "int8-trt", "int8")
GPU = EngineOptions(device="cuda")
ON_GPU = BenchOptions(engines=("ort", "torch", "trt"), schedules=("inflight",))


def names(base: EngineOptions, *engines: str) -> list[str]:
    return [variant_name(one) for engine in engines for one in engine_variants(base, engine)]


def choose(bundle: Bundle[FrameExitManifest], options: BenchOptions = ON_GPU, base: EngineOptions = GPU,
           **reasons: str) -> Matrix:  # fmt: skip
    available = {**EVERYTHING, **{name.replace("_", " "): reason for name, reason in reasons.items()}}
    return choose_contenders(bundle.manifest, options, base, available)


def inflight(matrix: Matrix) -> list[str]:
    """The contenders in flight with early exits, without schedule and slots."""
    found = [one.name for one in matrix.contenders if one.stream.schedule == "inflight" and not one.every_step]
    return [name.partition(",")[0] for name in found]


def test_variants_only_on_request() -> None:
    assert names(GPU, "ort", "torch", "trt") == ["ort cuda", "torch cuda", "trt"]
    assert names(replace(GPU, device="cuda:1"), "ort") == ["ort cuda:1"]
    assert names(EngineOptions(), "ort", "openvino", "torch") == ["ort", "openvino", "torch"]
    requested = replace(GPU, graphs=True, provider="tensorrt")
    assert names(requested, "ort", "torch", "trt") == [
        "ort cuda", "ort cuda graphs", "ort cuda tensorrt", "torch cuda", "torch cuda graphs", "trt",
    ]  # fmt: skip


def test_no_graphs_concern_only_trt() -> None:
    without = replace(GPU, graphs=False)
    assert names(without, "ort", "torch", "trt") == ["ort cuda", "torch cuda", "trt no graphs"]
    assert plain_variant(without, "ort").graphs is None


@pytest.mark.parametrize(
    ("base", "message"),
    [
        (EngineOptions(graphs=True), "--graphs requires a GPU"),
        (EngineOptions(provider="tensorrt"), "--provider tensorrt requires a GPU"),
        (EngineOptions(device="gpu"), "unknown device 'gpu'"),
    ],
)
def test_options_without_their_device(base: EngineOptions, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        list(engine_variants(base, "ort"))


def test_graphs_of_trt_need_no_device() -> None:
    assert names(EngineOptions(graphs=True), "trt") == ["trt"]


def test_why_absent() -> None:
    missing = {**EVERYTHING, "pycuda": "not installed", "ort TensorRT": "falls back"}
    assert why_absent(plain_variant(GPU, "trt"), missing) == "pycuda: not installed"
    assert why_absent(replace(GPU, engine="ort"), missing) == ""
    assert why_absent(replace(GPU, engine="ort", provider="tensorrt"), missing) == "falls back"
    assert why_absent(replace(GPU, engine="openvino"), missing) == "it does not run on cuda"
    assert why_absent(EngineOptions(engine="trt", device="cpu"), missing) == "it does not run on cpu"
    assert why_absent(EngineOptions(engine="of_a_package"), missing) == ""


def test_precisions() -> None:
    def own(base: EngineOptions, engine: str) -> list[str]:
        return own_precisions(replace(base, engine=engine), BUNDLE)

    assert own(GPU, "ort") == ["fp32", "fp16", "tf32"]
    assert own(GPU, "torch") == ["fp32", "tf32"]
    assert own(GPU, "trt") == ["fp32", "fp16", "int8-trt", "tf32"]
    assert own(replace(GPU, provider="tensorrt"), "ort") == ["fp32", "fp16"]
    assert own(EngineOptions(), "ort") == own(EngineOptions(), "openvino") == ["fp32", "int8"]
    assert own(EngineOptions(), "torch") == ["fp32"]
    assert own(GPU, "of_a_package") == list(BUNDLE)
    assert known_precisions(EngineOptions(), BUNDLE) == list(BUNDLE)


def test_gpu_contenders(tiny_bundle: Bundle[FrameExitManifest]) -> None:
    matrix = choose(tiny_bundle)
    assert [one.name for one in matrix.contenders[:3]] == [
        "ort fp32 on the CPU", "PyTorch as the original", "torch.compile",
    ]  # fmt: skip
    assert inflight(matrix) == ["ort cuda fp32", "ort cuda tf32", "torch cuda fp32", "torch cuda tf32", "trt fp32",
                                "trt tf32"]  # fmt: skip
    assert not matrix.absent
    exact = [one.name for one in matrix.contenders if one.exact]
    assert not any("tf32" in name for name in exact)
    reference = reference_of(matrix.contenders[1], matrix.contenders)
    assert reference is not None
    assert reference.engine.device is None, "a GPU is compared with the CPU"
    assert len({one.name for one in matrix.contenders}) == len(matrix.contenders)


def test_requested_precisions(tiny_quantized_bundle: Bundle[FrameExitManifest]) -> None:
    options = replace(ON_GPU, precisions=("fp32", "tf32", "fp16"))
    matrix = choose(tiny_quantized_bundle, options)
    assert len(inflight(matrix)) == 3 + 2 + 3
    assert matrix.absent == (("torch cuda fp16", "torch runs fp32, tf32"),)
    on_cpu = choose(tiny_quantized_bundle, replace(options, engines=("ort",)), EngineOptions())
    assert inflight(on_cpu) == ["ort fp32", "ort fp16"], "what the bundle has runs on request"


def test_missing_engines_are_absent(tiny_bundle: Bundle[FrameExitManifest]) -> None:
    matrix = choose(tiny_bundle, ort_CUDA="not included in this onnxruntime", tensorrt="not installed",
                    pycuda="not installed", ort_CPU="not installed")  # fmt: skip
    assert matrix.absent == (
        ("ort cuda", "not included in this onnxruntime"), ("trt", "not installed; pycuda: not installed"),
    )  # fmt: skip
    assert inflight(matrix) == ["torch cuda fp32", "torch cuda tf32"]
    assert matrix.contenders[0].name == "torch fp32 on the CPU"


def test_engines_of_another_device_are_left_out(tiny_bundle: Bundle[FrameExitManifest]) -> None:
    matrix = choose(tiny_bundle, replace(ON_GPU, engines=None))
    assert "openvino" not in {one.engine.engine for one in matrix.contenders}
    assert not matrix.absent
    assert choose(tiny_bundle, replace(ON_GPU, engines=("ort", "openvino"))).absent == (
        ("openvino cuda", "it does not run on cuda"),
    )


def test_frame_counts_are_compared_with_the_cpu(flexible_bundle: FlexibleBundle) -> None:
    manifest = flexible_bundle("tsm").manifest
    matrix = choose_contenders(manifest, replace(ON_GPU, engines=("torch",)), GPU, EVERYTHING)
    assert [one.name for one in matrix.contenders[:4]] == [f"ort fp32 on the CPU, {n} frames" for n in (2, 4, 6, 8)]
    for one in matrix.contenders[4:]:
        reference = reference_of(one, matrix.contenders)
        assert reference is not None
        assert (reference.frames, reference.engine.device) == (one.frames, None)
