"""Frames and pixels of SlowFast and Uniformer versus the original test loader's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from tests.ffn3d import (
    golden,
)
from tests.golden.ffn3d.make_clips import source
from vbench.errors import FrameError, UsageError
from vbench.models.preprocess.multi_crop import SLOWFAST, UNIFORMER, crops, resized_shape_float64
from vbench.runtime.video.sampling import slowfast_segment_positions


@pytest.mark.parametrize(("model", "frames"), [("slowfast_ffn", (16, 32, 64)), ("uniformer_ffn", (4, 8, 16))])
def test_sampling(model: str, frames: tuple[int, ...]) -> None:
    for count in frames:
        ours = [slowfast_segment_positions(length, count) for length in range(1, 181)]
        np.testing.assert_array_equal(np.add(ours, 1), golden()[f"{model}/frame_numbers/T{count}"])


def original_rule(length: int, count: int, views: int, view: int) -> list[int]:
    segment = float(length - 1) / count
    return [int(np.round(segment * i)) + int(segment / (views + 1) * (view + 1)) for i in range(count)]


@pytest.mark.parametrize(("views", "view"), [(1, 0), (3, 0), (3, 2)])
def test_sampling_at_any_count(views: int, view: int) -> None:
    for count in (1, 3, 12, 20, 44, 60):
        for length in range(1, 400):
            found = slowfast_segment_positions(length, count, views, view)
            assert list(found) == original_rule(length, count, views, view)
            assert found[-1] < length


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: slowfast_segment_positions(10, 0), "at least one"),
        (lambda: slowfast_segment_positions(10, 4, 2, 2), "no view 2: the number of views is 2"),
        (lambda: slowfast_segment_positions(10, 4, 0, 0), "set views to 1 or more"),
    ],
)
def test_sampling_errors(call: Callable[[], object], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        call()
    with pytest.raises(FrameError, match="no frames"):
        slowfast_segment_positions(0, 4)


@pytest.mark.parametrize(
    ("model", "number", "frames"),
    [("uniformer_ffn", 0, 4), ("uniformer_ffn", 1, 8), ("slowfast_ffn", 0, 16), ("slowfast_ffn", 1, 16)],
)
def test_preprocessing(model: str, number: int, frames: int) -> None:
    rules = SLOWFAST if model.startswith("slowfast") else UNIFORMER
    prefix = f"{model}/loader/source{number}/T{frames}"
    found = crops(torch.from_numpy(source(number, frames)), rules)
    assert len(found) == len(rules.crops)
    for index, crop in enumerate(found):
        wide = crop.double().numpy()
        sample = crop.numpy().transpose(1, 0, 2, 3)[:, :, ::31, ::29]
        np.testing.assert_allclose(sample, golden()[f"{prefix}/crop{index}/sample"], rtol=0, atol=1e-6)
        stats = [wide.mean(), wide.std(), wide.min(), wide.max(), np.abs(wide).mean()]
        np.testing.assert_allclose(stats, golden()[f"{prefix}/crop{index}/stats"], rtol=1e-6, atol=1e-6)


def test_resized_sides_use_doubles() -> None:
    assert resized_shape_float64(448, 460, 224) == (224, 229)  # 460 / 448 * 224 is 230, but not in doubles
    assert resized_shape_float64(460, 448, 224) == (229, 224)
    assert resized_shape_float64(224, 230, 224) == (
        224,
        230,
    )  # the original checks the shorter side only and leaves the image unchanged
