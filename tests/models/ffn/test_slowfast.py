"""SlowFast, plain and frame-flexible, versus numbers from the original modules."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.ffn3d import ORIGINALS, TOLERANCE, check_stages, golden, macs, network, run
from tests.marks import slow_except
from vbench.models.ffn.slowfast import SlowFast, SlowFastSize, slow_positions

CASES = [("slowfast_ffn", 16), ("slowfast_ffn", 32), ("slowfast_ffn", 64), ("slowfast", 16), ("slowfast", 64)]
FAST = [("slowfast_ffn", 16)]


@pytest.mark.parametrize(("model", "frames"), slow_except(FAST, CASES))
def test_stages_features_and_logits(model: str, frames: int) -> None:
    actual, key = run(model, frames), f"{model}/T{frames}"
    assert check_stages(model, frames) == 46
    pooled, logits = golden()[f"{key}/pooled"][0], golden()[f"{key}/logits"][0]
    np.testing.assert_allclose(actual.pooled.reshape(pooled.shape), pooled, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(actual.logits.reshape(logits.shape), logits, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(("model", "frames"), slow_except(FAST, CASES))
def test_softmax_of_the_logits_equals_the_originals_output(model: str, frames: int) -> None:
    net = network(model)
    assert isinstance(net, SlowFast)
    logits = net.at(frames).logits(torch.from_numpy(run(model, frames).logits))  # type: ignore[operator]
    assert logits.shape == (1, 174)
    output = golden()[f"{model}/T{frames}/output"][0]
    np.testing.assert_allclose(logits.softmax(1)[0], output, rtol=0, atol=1e-5)
    if model == "slowfast":
        np.testing.assert_allclose(logits[0], np.log(output), rtol=0, atol=TOLERANCE)
        assert run(model, frames).logits.shape == (1, 2, 2, 174)


def test_branches_differ() -> None:
    by_branch = golden()["slowfast_ffn/T16/logits_by_branch"]
    actual = run("slowfast_ffn", 16, branch=32).logits[0, 0, 0]
    np.testing.assert_allclose(actual, by_branch[1], rtol=0, atol=TOLERANCE)
    assert np.abs(actual - by_branch[0]).max() > 1


@pytest.mark.parametrize("frames", [16, 32, 64])
def test_slow_pathway(frames: int) -> None:
    assert slow_positions(frames) == tuple(golden()[f"slowfast_ffn/T{frames}/slow_index"])
    assert slow_positions(frames)[-1] == frames - 1


@pytest.mark.parametrize("frames", range(4, 129, 4))
def test_slow_pathway_equals_the_originals_linspace(frames: int) -> None:
    assert list(slow_positions(frames)) == torch.linspace(0, frames - 1, frames // 4).long().tolist()


@pytest.mark.parametrize("model", ["slowfast_ffn", "slowfast"])
@pytest.mark.parametrize("frames", slow_except([16], [16, 32, 64]))
def test_cost(model: str, frames: int) -> None:
    with torch.device("meta"):
        net = SlowFast(SlowFastSize(174, model.endswith("_ffn")))
    expected = ORIGINALS["macs_per_view"][model][f"T{frames}"]
    assert macs(net, frames) == pytest.approx(expected, rel=0.01)
    if model == "slowfast":
        assert macs(net, frames) == expected


@pytest.mark.parametrize(
    ("frames", "branch"),
    [(4, 16), (16, 16), (20, 16), (24, 32), (28, 32), (32, 32), (44, 32), (48, 64), (64, 64), (128, 64)],
)
def test_branch_of_any_frame_count(frames: int, branch: int) -> None:
    assert network("slowfast_ffn").branch(frames) == branch
    assert network("slowfast").branch(frames) == 0


def test_metadata() -> None:
    flexible, plain = network("slowfast_ffn"), network("slowfast")
    assert (flexible.architecture, flexible.name, flexible.branches) == ("slowfast", "slowfast_ffn", (16, 32, 64))
    assert (plain.architecture, plain.name, plain.branches) == ("slowfast", "slowfast", ())
    assert (flexible.classes, flexible.input_size) == (174, 256)
