from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbench.errors import FrameError, UsageError
from vbench.runtime.video.sampling import linspace_positions, tsn_segment_positions

GOLDEN = Path(__file__).parents[2] / "golden" / "golden.npz"
GOLDEN_2D = GOLDEN.parent / "ffn2d" / "golden.npz"


@pytest.mark.parametrize("count", [8, 10, 16])
def test_linspace_positions_match_the_original(count: int) -> None:
    golden = np.load(GOLDEN)
    ours = [linspace_positions(int(length), count) for length in golden["sampling_length"]]
    np.testing.assert_array_equal(ours, golden[f"sampling_{count}"])


@given(length=st.integers(1, 100_000), count=st.integers(2, 64))
def test_linspace_positions_ascend_from_the_first_to_the_last_frame(length: int, count: int) -> None:
    positions = linspace_positions(length, count)
    assert len(positions) == count
    assert (positions[0], positions[-1]) == (0, length - 1)
    assert list(positions) == sorted(positions)


def test_single_frame_is_the_first() -> None:
    assert linspace_positions(50, 1) == (0,)


def test_nothing_to_sample() -> None:
    with pytest.raises(FrameError, match="no frames"):
        linspace_positions(0, 10)
    with pytest.raises(UsageError, match="request at least one"):
        linspace_positions(10, 0)
    with pytest.raises(FrameError, match="no frames"):
        tsn_segment_positions(0, 10)
    with pytest.raises(UsageError, match="request at least one"):
        tsn_segment_positions(10, 0)


def test_tsn_segment_positions_match_the_original() -> None:
    golden = np.load(GOLDEN_2D)
    counts = [int(key.removeprefix("sampling/T")) for key in golden if key.startswith("sampling/T")]
    assert len(counts) == 17
    for count in counts:
        ours = [tsn_segment_positions(int(length), count) for length in golden["sampling/lengths"]]
        np.testing.assert_array_equal(ours, golden[f"sampling/T{count}"] - 1)


def test_tsn_segment_positions_round_as_the_original() -> None:
    assert tsn_segment_positions(28, 10)[7] == 20  # exactly 21; the sum of doubles is 20.999...
    assert tsn_segment_positions(16, 12)[7] == 9


@given(length=st.integers(1, 100_000), count=st.integers(1, 64))
def test_tsn_segment_positions_ascend_within_the_video(length: int, count: int) -> None:
    positions = tsn_segment_positions(length, count)
    assert len(positions) == count
    assert 0 <= positions[0] <= positions[-1] < length
    assert list(positions) == sorted(positions)
    assert length > count or positions == (0,) * count
