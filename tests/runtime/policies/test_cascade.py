"""Frame-count policies: one count, a cascade, or the largest count within a time budget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbench.errors import UsageError
from vbench.runtime.policies.base import Evidence
from vbench.runtime.policies.cascade import Cascade, FrameCount, frame_count_policy, largest_within


@pytest.mark.parametrize(
    ("confidence", "exits"), [(0.9, False), (0.9 + 1e-9, True), (1.0, True), (float("nan"), False), (None, False)]
)
def test_a_cascade_exits_only_above_the_threshold(confidence: float | None, exits: bool) -> None:
    assert Cascade((4, 8), 0.9).exits(Evidence(1, confidence=confidence)) is exits


def test_requested_evidence_and_records() -> None:
    cascade = Cascade((4, 8, 16), 0.5)
    assert [cascade.needs_logits(step) for step in (1, 2, 3)] == [True, True, False]
    assert not any(cascade.needs_gate(step) for step in (1, 2, 3))
    assert cascade.record() == {"kind": "cascade", "counts": [4, 8, 16], "threshold": 0.5}
    assert [FrameCount(8).needs_logits(1), FrameCount(8).needs_gate(1)] == [False, False]
    assert FrameCount(8).record() == {"kind": "frames", "frames": 8}


def test_one_count_is_not_a_cascade() -> None:
    assert frame_count_policy((8,)) == frame_count_policy((8,), 0.5) == FrameCount(8)
    assert frame_count_policy((4, 8), 0.5) == Cascade((4, 8), 0.5)
    with pytest.raises(
        UsageError,
        match=r"^choosing between the frame counts \[4, 8\] requires a confidence threshold; "
        r"choose one count, or set a",
    ):
        frame_count_policy((4, 8))
    for counts, threshold in (((8, 4), 0.5), ((), None), ((8,), 1.5)):
        with pytest.raises(UsageError, match=r"not ascending|outside \[0, 1\]"):
            frame_count_policy(counts, threshold)


def test_the_route_has_the_steps_of_the_counts() -> None:
    assert Cascade((4, 16)).route((4, 8, 16)) == (1, 3)
    assert FrameCount(8).route((4, 8, 16)) == (2,)
    assert Cascade((4, 16)).frame_counts == (4, 16)
    assert FrameCount(8).frame_counts == (8,)


@pytest.mark.parametrize("counts", [(), (8, 4), (4, 4)])
def test_cascade_counts_must_ascend(counts: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="ascending"):
        Cascade(counts)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_must_be_a_probability(threshold: float) -> None:
    with pytest.raises(UsageError, match=r"outside \[0, 1\]"):
        Cascade((4, 8), threshold)


def test_a_count_without_a_part_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"this bundle has no part for 6 frames, only for 4, 8; .*--frames 6"):
        Cascade((4, 6)).route((4, 8))


@given(st.dictionaries(st.integers(1, 64), st.floats(0.1, 1e4), min_size=1), st.floats(0.1, 1e4))
def test_the_budget_selects_the_largest_count_that_fits(times: dict[int, float], budget: float) -> None:
    fitting = [count for count, time in times.items() if time <= budget]
    if fitting:
        assert largest_within(times, budget) == max(fitting)
    else:
        with pytest.raises(UsageError, match=r"no frame count fits .*: the fastest, \d+ frames, takes"):
            largest_within(times, budget)
