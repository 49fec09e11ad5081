"""Uniformer-S, plain and frame-flexible, versus numbers from the original modules."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.ffn3d import ORIGINALS, TOLERANCE, check_stages, clip, golden, macs, network, run
from tests.golden.ffn3d.make_clips import source
from vbench.models.ffn.uniformer import Uniformer, UniformerSize
from vbench.models.preprocess.multi_crop import UNIFORMER, crops

CASES = [("uniformer_ffn", 4), ("uniformer_ffn", 8), ("uniformer_ffn", 16), ("uniformer", 8), ("uniformer", 16)]


@pytest.mark.parametrize(("model", "frames"), CASES)
def test_stages_features_and_logits(model: str, frames: int) -> None:
    actual, key = run(model, frames), f"{model}/T{frames}"
    assert check_stages(model, frames) == 23
    np.testing.assert_allclose(actual.pooled[0], golden()[f"{key}/pooled"][0], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(actual.logits[0], golden()[f"{key}/logits"][0], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("video", [1, 2])
def test_other_videos(video: int) -> None:
    actual = run("uniformer_ffn", 4, video).logits[0]
    np.testing.assert_allclose(actual, golden()["uniformer_ffn/T4/logits"][video], rtol=0, atol=TOLERANCE)


def test_float64() -> None:
    expected = golden()["uniformer_ffn/T4/logits_float64"]
    np.testing.assert_allclose(run("uniformer_ffn", 4).logits[0], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("row", "branch"), [(1, 8), (2, 16)])
def test_branches_differ(row: int, branch: int) -> None:
    by_branch = golden()["uniformer_ffn/T4/logits_by_branch"]
    actual = run("uniformer_ffn", 4, branch=branch).logits[0]
    np.testing.assert_allclose(actual, by_branch[row], rtol=0, atol=TOLERANCE)
    assert np.abs(actual - by_branch[0]).max() > 1


def test_the_three_crops_of_a_video() -> None:
    prefix = "uniformer_ffn/loader/source0/T4"
    pixels = torch.stack(crops(torch.from_numpy(source(0, 4)), UNIFORMER))
    with torch.no_grad():
        logits = network("uniformer_ffn")(pixels).numpy()
    np.testing.assert_allclose(logits, golden()[f"{prefix}/crop_logits"], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(logits.sum(0), golden()[f"{prefix}/video_score"], rtol=0, atol=TOLERANCE)


def test_rgb_changes_the_logits() -> None:
    with torch.no_grad():
        turned = network("uniformer_ffn")(clip("uniformer_ffn", 4, 0).flip(2)).numpy()
    assert np.abs(turned - run("uniformer_ffn", 4).logits).max() > 0.1


@pytest.mark.parametrize("model", ["uniformer_ffn", "uniformer"])
@pytest.mark.parametrize("frames", [4, 8, 16])
def test_cost(model: str, frames: int) -> None:
    with torch.device("meta"):
        net = Uniformer(UniformerSize(174, model.endswith("_ffn")))
    expected = ORIGINALS["macs_per_view"][model][f"T{frames}"]
    assert macs(net, frames) == pytest.approx(expected, rel=0.01)
    if model == "uniformer":
        assert macs(net, frames) == expected


@pytest.mark.parametrize(
    ("frames", "branch"), [(1, 4), (5, 4), (6, 8), (7, 8), (8, 8), (11, 8), (12, 16), (16, 16), (128, 16)]
)
def test_branch_of_any_frame_count(frames: int, branch: int) -> None:
    assert network("uniformer_ffn").branch(frames) == branch
    assert network("uniformer").branch(frames) == 0


def test_metadata() -> None:
    flexible, plain = network("uniformer_ffn"), network("uniformer")
    assert (flexible.architecture, flexible.name, flexible.branches) == ("uniformer", "uniformer_s_ffn", (4, 8, 16))
    assert (plain.architecture, plain.name, plain.branches) == ("uniformer", "uniformer_s", ())
    assert (flexible.classes, flexible.input_size) == (174, 224)


def test_a_width_with_fractional_heads() -> None:
    with pytest.raises(ValueError, match="multiples of 64"):
        Uniformer(UniformerSize(5, True, (8, 16, 32, 64), (1, 1, 1, 1)))
