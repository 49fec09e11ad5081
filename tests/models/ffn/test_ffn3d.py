"""Tests shared by SlowFast and Uniformer: parts, graphs and frame counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.ffn3d import (
    MODELS,
    NARROW,
    NARROW_FRAMES,
    TOLERANCE,
    narrow,
    narrow_pixels,
    network,
    ort_logits,
    state,
)
from tests.marks import slow_except
from vbench.errors import UsageError
from vbench.export.graph.count_macs import macs as graph_macs
from vbench.export.graph.fold_batch_norm import fold_batch_norms
from vbench.export.graph.torch_to_onnx import trace_parts
from vbench.models.ffn.base import Adaptation, FrameFlexible, Scale


@pytest.mark.parametrize(("family", "flexible"), slow_except([("slowfast", False)], NARROW))
def test_graph_equals_torch_for_any_batch(family: str, flexible: bool) -> None:
    net = narrow(family, flexible)
    (part,) = net.parts([NARROW_FRAMES[family]])
    graph = trace_parts([part])[part.name]
    assert "BatchNormalization" not in {node.op_type for node in graph.graph.node}
    for count in (1, 3):
        clips = narrow_pixels(family, count)
        with torch.no_grad():
            expected = part.module(clips).numpy()
        assert expected.shape == (count, 5)
        assert expected.std(1).min() > 0.01
        np.testing.assert_allclose(ort_logits(graph, clips), expected, rtol=0, atol=TOLERANCE)
    assert graph_macs(graph) > 1_000_000


@pytest.mark.parametrize("model", MODELS)
def test_folding_leaves_no_batch_norm(model: str) -> None:
    folded = fold_batch_norms(network(model).at(16))
    kinds = {type(module) for module in folded.modules()}
    assert nn.BatchNorm3d not in kinds
    assert (Scale in kinds) == (
        model == "uniformer_ffn"
    )  # there it also scales the shortcut, into which no layer can fold it


@pytest.mark.parametrize(("family", "flexible"), NARROW)
def test_folding_keeps_the_logits(family: str, flexible: bool) -> None:
    at, clips = narrow(family, flexible).at(NARROW_FRAMES[family]), narrow_pixels(family, 2)
    with torch.no_grad():
        np.testing.assert_allclose(fold_batch_norms(at)(clips), at(clips), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("model", MODELS)
def test_parts_hold_one_branch_and_share_its_tensors(model: str) -> None:
    net = network(model)
    parts = net.parts([8, 16, 64])
    assert [part.name for part in parts] == ["frames_08", "frames_16", "frames_64"]
    own = {tensor.data_ptr() for tensor in state(model).values()}
    for part, frames in zip(parts, (8, 16, 64)):
        (clips,) = part.inputs
        assert (clips.name, clips.dtype) == ("pixels", "float32")
        assert clips.shape == ("n", frames, 3, net.input_size, net.input_size)
        assert (part.output.name, part.output.dtype, part.output.shape) == ("logits", "float32", ("n", 174))
        assert not any(module.training or isinstance(module, Adaptation) for module in part.module.modules())
        assert {tensor.data_ptr() for tensor in part.module.parameters()} <= own
        assert not any(name.split(".")[-2].endswith(("_4", "_8", "_16")) for name, _ in part.module.named_parameters())
    plain = {"slowfast_ffn": "slowfast", "uniformer_ffn": "uniformer"}.get(model, model)
    expected = set(dict(network(plain).named_parameters()))
    assert set(dict(parts[0].module.named_parameters())) == expected


@pytest.mark.parametrize(("family", "flexible"), NARROW)
@pytest.mark.parametrize("frames", [0, -4, 1001])
def test_bad_frame_counts(family: str, flexible: bool, frames: int) -> None:
    net = narrow(family, flexible)
    for call in (net.branch, net.at, lambda count: net.parts([count])):
        with pytest.raises(UsageError, match=f"cannot run at {frames} frames") as caught:
            call(frames)
        assert "\n" not in str(caught.value)


def test_more_bad_frame_counts() -> None:
    net: FrameFlexible = narrow("slowfast", True)
    with pytest.raises(UsageError, match="18 frames; choose a multiple of 4"):
        net.parts([16, 18])
    with pytest.raises(UsageError, match="pass one or more distinct counts"):
        net.parts([16, 16])
    with pytest.raises(UsageError, match="pass one or more distinct counts"):
        net.parts([])
    with pytest.raises(UsageError, match="no branch for 8 frames"):
        net.at(16, branch=8)
    assert narrow("uniformer", False).branch(7) == 0
