from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbench.errors import FrameError, UsageError
from vbench.runtime.sampling import sample_positions

GOLDEN = Path(__file__).parent / "golden" / "golden.npz"


@pytest.mark.parametrize("count", [8, 10, 16])
def test_positions_are_those_of_the_original(count: int) -> None:
    golden = np.load(GOLDEN)
    ours = [sample_positions(int(length), count) for length in golden["sampling_length"]]
    np.testing.assert_array_equal(ours, golden[f"sampling_{count}"])


@given(length=st.integers(1, 100_000), count=st.integers(2, 64))
def test_positions_ascend_from_the_first_to_the_last_frame(length: int, count: int) -> None:
    positions = sample_positions(length, count)
    assert len(positions) == count
    assert (positions[0], positions[-1]) == (0, length - 1)
    assert list(positions) == sorted(positions)


def test_one_frame_is_the_first() -> None:
    assert sample_positions(50, 1) == (0,)


def test_nothing_to_sample() -> None:
    with pytest.raises(FrameError, match="no frames"):
        sample_positions(0, 10)
    with pytest.raises(UsageError, match="at least one"):
        sample_positions(10, 0)
