"""Compiled preprocessing: the pixels of the exported graphs, bit for bit, and when the graph runs instead."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from importlib import util
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from vbench.errors import EngineError
from vbench.export.preprocess.select import preprocess_graph_for
from vbench.models.preprocess.multi_crop import SLOWFAST, UNIFORMER, CropRules
from vbench.models.preprocess.pillow import preprocess_spec, resize_weights
from vbench.models.preprocess.shorter_side import MEAN, STD, PreprocessSpec
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.bundle.manifest import FrameExitManifest, Preprocessing
from vbench.runtime.engines.base import EngineOptions, load_engine
from vbench.runtime.preprocess import compiled, geometry
from vbench.runtime.preprocess.compiled import CompiledPreprocessing, load_compiled
from vbench.runtime.preprocess.jit import Kernel, Kernels, compiled_kernels

HAS_NUMBA = util.find_spec("numba") is not None
NEEDS_NUMBA = pytest.mark.skipif(not HAS_NUMBA, reason="without numba")
SMALL = 28
SPECS = {
    "frameexit": PreprocessSpec(
        SMALL, SMALL, "shorter_side_bilinear_truncated", ("center_half_to_even",), "rgb", MEAN, STD
    ),
    "tsm": preprocess_spec(SMALL),
    "slowfast": replace(SLOWFAST, size=SMALL).spec,
    "uniformer": replace(UNIFORMER, size=SMALL).spec,
    "x3d": CropRules(SMALL, (1,), "rgb", side=SMALL + 4).spec,
}
# One pixel and up; no resizing (28, or 32 for TSM); half-pixel margins; quotients that doubles truncate (61 / 28).
SIZES = [(1, 1), (2, 3), (28, 28), (28, 61), (61, 28), (56, 122), (32, 47), (99, 32), (28, 31), (33, 28), (60, 100)]
LARGE = [(256, 320), (340, 256), (720, 1280), (999, 640)]
Bytes = NDArray[np.uint8]
Pixels = NDArray[np.float32]


def noise(height: int, width: int, count: int = 1) -> Bytes:
    return np.random.default_rng([height, width]).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def graph(spec: PreprocessSpec) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    content = preprocess_graph_for(spec, 18).SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def preprocessing(spec: PreprocessSpec, kernels: Kernels) -> CompiledPreprocessing:
    size = spec.input_size
    views = () if spec == SPECS["frameexit"] else (len(spec.crops),)
    return CompiledPreprocessing(Preprocessing(**asdict(spec)), (*views, 3, size, size), kernels)


def check(spec: PreprocessSpec, kernels: Kernels, frames: Bytes) -> None:
    (expected,) = graph(spec).run(None, {"frames": frames})
    actual = preprocessing(spec, kernels)(frames)
    assert actual.shape == expected.shape
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_kernels_in_python(spec: PreprocessSpec) -> None:
    for height, width in SIZES[-3:]:
        check(spec, Kernels(), noise(height, width))


@NEEDS_NUMBA
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_compiled_kernels(spec: PreprocessSpec) -> None:
    for height, width in SIZES:
        check(spec, compiled_kernels(), noise(height, width, 2))


@NEEDS_NUMBA
@pytest.mark.parametrize("rules", [SLOWFAST, UNIFORMER, CropRules(160, (1,), "rgb", 182)], ids=["sf", "uf", "x3d"])
def test_sizes_of_networks(rules: CropRules) -> None:
    for height, width in LARGE:
        check(rules.spec, compiled_kernels(), noise(height, width))


@NEEDS_NUMBA
def test_sizes_of_tsm() -> None:
    for height, width in LARGE:
        check(preprocess_spec(224), compiled_kernels(), noise(height, width))


@pytest.mark.parametrize(("before", "after"), [(3, 7), (7, 7), (40, 28), (300, 32)])
def test_weights_of_pillow(before: int, after: int) -> None:
    first, weights = geometry._filter_axis(before, after, 0, after)
    dense = np.zeros((after, before))
    for line in range(after):
        dense[line, first[line] : first[line] + weights.shape[1]] = weights[line]
    np.testing.assert_array_equal(dense, resize_weights(before, after).numpy())


@pytest.mark.parametrize("kernels", [Kernels(), pytest.param(None, marks=NEEDS_NUMBA)], ids=["python", "numba"])
def test_any_array(kernels: Kernels | None) -> None:
    """Frames may be read-only or not contiguous, and pixels may be rows of a larger tensor."""
    preprocess = preprocessing(SPECS["frameexit"], kernels or compiled_kernels())
    frames = noise(30, 41, 2)
    expected = preprocess(frames)
    read_only = frames.copy()
    read_only.flags.writeable = False
    np.testing.assert_array_equal(preprocess(read_only), expected)
    np.testing.assert_array_equal(preprocess(np.asfortranarray(frames)), expected)
    tensor: Pixels = np.zeros((4, 3, SMALL, SMALL), np.float32)
    assert preprocess(frames, tensor[1:3]).base is tensor
    np.testing.assert_array_equal(tensor[1:3], expected)
    assert not tensor[[0, 3]].any()


@NEEDS_NUMBA
def test_threads() -> None:
    """Calls from several threads do not share scratch memory."""
    preprocess = preprocessing(SPECS["tsm"], compiled_kernels())
    frames = [noise(60 + number % 3, 80) for number in range(60)]
    expected = [preprocess(each) for each in frames]
    with ThreadPoolExecutor(4) as pool:
        for actual, wanted in zip(pool.map(preprocess, frames), expected):
            np.testing.assert_array_equal(actual, wanted)


@pytest.fixture
def manifest(tiny_bundle: Bundle[FrameExitManifest], monkeypatch: pytest.MonkeyPatch) -> FrameExitManifest:
    """The manifest of the tiny network; the kernels run in Python."""
    monkeypatch.setattr(compiled.util, "find_spec", lambda _: object())
    monkeypatch.setattr(compiled, "compiled_kernels", Kernels)
    monkeypatch.setattr(compiled.metadata, "version", {"numba": "0.68.1"}.__getitem__)
    return tiny_bundle.manifest


def run_graph(manifest: FrameExitManifest) -> compiled.Preprocess:
    session = graph(PreprocessSpec(**manifest.preprocessing.model_dump()))
    return lambda frames: np.asarray(session.run(None, {"frames": frames})[0])


def test_is_used_if_it_reproduces_the_graph(manifest: FrameExitManifest) -> None:
    preprocess, runner = load_compiled(manifest, run_graph(manifest), "ort 1")
    assert isinstance(preprocess, CompiledPreprocessing)
    assert runner == "numba 0.68.1"


@pytest.mark.parametrize(("difference", "is_used"), [(3e-4, True), (4e-3, False)])
def test_is_used_although_the_engine_interpolates_less_precisely(
    manifest: FrameExitManifest, difference: float, is_used: bool
) -> None:
    exact = run_graph(manifest)
    preprocess, _ = load_compiled(manifest, lambda frames: exact(frames) + np.float32(difference), "openvino 1")
    assert (preprocess is not None) == is_used


def test_the_graph_runs_without_numba(manifest: FrameExitManifest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled.util, "find_spec", lambda _: None)
    assert load_compiled(manifest, run_graph(manifest), "ort 1") == (None, "ort 1")


def test_the_graph_runs_if_numba_cannot_be_imported(
    manifest: FrameExitManifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "compiled_kernels", compiled_kernels.__wrapped__)
    monkeypatch.setitem(sys.modules, "numba", None)
    preprocess, runner = load_compiled(manifest, run_graph(manifest), "ort 1")
    assert preprocess is None
    assert runner.startswith("ort 1 (numba: ")
    assert "\n" not in runner


def test_the_graph_runs_if_numba_fails(manifest: FrameExitManifest, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Kernels:
        raise TypeError("no such option\ndetails")

    monkeypatch.setattr(compiled, "compiled_kernels", fail)
    assert load_compiled(manifest, run_graph(manifest), "ort 1") == (None, "ort 1 (numba: no such option)")


def test_kernels_are_compiled_without_a_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def njit(_: object, cache: bool = False, **options: object) -> Callable[[Kernel], Kernel]:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        assert options == {"nogil": True, "error_model": "numpy"}
        return lambda function: function

    monkeypatch.setitem(sys.modules, "numba", SimpleNamespace(njit=njit, types=MagicMock()))
    assert compiled_kernels.__wrapped__() == Kernels()


@pytest.mark.parametrize(
    "change",
    [
        {"mean": (0.5, 0.5, 0.5)},
        {"resize": "shorter_side_pillow_bilinear"},
        {"crops": ("first",)},
        {"crops": ("first", "last")},
        {"crops": ()},
        {"channel_order": "bgr"},
        {"resize_side": 8},
        {"resize_side": 64},
        {"input_size": 16},
        {"input_size": -1},
        {"std": (0.0, 1.0, 1.0)},
    ],
    ids=str,
)
def test_the_graph_runs_if_the_manifest_describes_another(
    manifest: FrameExitManifest, change: dict[str, object]
) -> None:
    described = manifest.model_copy(update={"preprocessing": manifest.preprocessing.model_copy(update=change)})
    found = load_compiled(described, run_graph(manifest), "ort 1")
    assert found == (None, "ort 1 (the manifest does not describe the graph)")


def test_a_graph_that_fails_is_left_to_the_reader(manifest: FrameExitManifest) -> None:
    def fail(_: Bytes) -> Pixels:
        raise EngineError("the graph fails", "export the checkpoint again")

    assert load_compiled(manifest, fail, "ort 1")[0] is None


@NEEDS_NUMBA
@pytest.mark.parametrize("name", ["ort", "openvino"])
def test_engines_use_it(name: str, tiny_bundle: Bundle[FrameExitManifest]) -> None:
    pytest.importorskip("onnxruntime" if name == "ort" else "openvino")
    engine = load_engine(name, tiny_bundle, EngineOptions())
    assert engine.describe()["preprocessing"].startswith("numba ")
    frames = noise(50, 70)
    expected = run_graph(tiny_bundle.manifest)(frames)
    np.testing.assert_array_equal(engine.get(engine.run("preprocess", engine.put(frames))), expected)
    without = load_engine(name, tiny_bundle, EngineOptions(parts=frozenset({"backbone"})))
    assert "preprocessing" not in without.describe()
