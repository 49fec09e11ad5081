"""Normalized pixels that are not finite, or beyond any arithmetic, are refused before an engine reads them."""

from __future__ import annotations

import numpy as np
import pytest

from vbench.errors import FrameError
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.bundle.manifest import FrameExitManifest
from vbench.runtime.inputs.base import check_pixels
from vbench.runtime.load import load


@pytest.mark.parametrize(
    ("value", "words"),
    [(np.nan, "value NaN"), (np.inf, "value inf"), (-np.inf, "value -inf"), (-1e38, "value -1e"), (7e4, "7")],
)
@pytest.mark.parametrize("where", [..., (9, 2, 31, 31)])
def test_pixels_are_refused(value: float, words: str, where: object) -> None:
    clip = np.zeros((10, 3, 32, 32), np.float32)
    check_pixels(clip)
    clip[where] = value  # type: ignore[index]
    with pytest.raises(FrameError, match=f"the pixel .*{words}"):
        check_pixels(clip)


@pytest.mark.parametrize("engine", ["ort", "openvino"])
def test_only_the_clip_with_the_pixels_fails(tiny_bundle: Bundle[FrameExitManifest], engine: str) -> None:
    pytest.importorskip("onnxruntime" if engine == "ort" else "openvino")
    network = load(tiny_bundle.path, engine=engine)
    sound = np.random.default_rng(0).normal(size=(10, 3, 32, 32)).astype(np.float32)
    clips = [sound, sound.copy(), sound]
    clips[1][5, 0, 3, 3] = np.nan
    with pytest.raises(FrameError, match="the pixel value NaN"):
        network.predict(clips[1])
    results = sorted(network.stream(clips), key=lambda result: result.clip)
    assert [result.error is None for result in results] == [True, False, True]
    np.testing.assert_array_equal(results[0].unwrap().logits, results[2].unwrap().logits)
