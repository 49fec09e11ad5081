"""Verification at export: detects every kind of error and locates it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vbench.errors import CheckError
from vbench.export.verify.verify import check_clips, difference, verify
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.engines.base import Engine, EngineOptions, Handle, load_engine
from vbench.runtime.policies.gates import FrameExitPolicy

POLICY = FrameExitPolicy(0.95)


class Disturbed:
    """An engine that adds a constant to the output of one part."""

    name = "disturbed"

    def __init__(self, engine: Engine, part: str, amount: float) -> None:
        self.engine, self.part, self.amount = engine, part, amount

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def run(self, part: str, *inputs: Handle, out: Handle | None = None) -> Handle:
        output = self.engine.run(part, *inputs, out=out)
        if part == self.part:
            output += np.float32(self.amount)
        return output


@pytest.fixture(scope="module")
def engines(tiny_bundle: Bundle) -> tuple[Engine, Engine]:
    return load_engine("torch", tiny_bundle, EngineOptions()), load_engine("ort", tiny_bundle, EngineOptions())


def test_equal_engine_passes_and_every_part_is_compared(tiny_bundle: Bundle, engines: tuple[Engine, Engine]) -> None:
    check = verify(tiny_bundle, *engines, POLICY, 1e-4)
    assert set(check.parts) == set(tiny_bundle.manifest.parts)
    assert check.exit_steps_changed == check.classes_changed == 0
    assert max(found.relative for found in check.parts.values()) < 1e-4


@pytest.mark.parametrize("part", ["preprocess", "backbone", "accumulator", "gates", "classifiers"])
@pytest.mark.parametrize("amount", [0.01, float("nan")])
def test_a_disturbed_part_is_named(
    tiny_bundle: Bundle, engines: tuple[Engine, Engine], part: str, amount: float
) -> None:
    with pytest.raises(CheckError, match=f"^{part} differs from PyTorch"):
        verify(tiny_bundle, engines[0], Disturbed(engines[1], part, amount), POLICY, 1e-4)


def test_other_exit_steps_fail(tiny_bundle: Bundle, engines: tuple[Engine, Engine]) -> None:
    with pytest.raises(CheckError, match="exit steps differ"):
        verify(tiny_bundle, engines[0], Disturbed(engines[1], "gates", -1.0), POLICY, 1e6)


def test_below_fp32_differences_are_recorded(tiny_bundle: Bundle, engines: tuple[Engine, Engine]) -> None:
    never = Disturbed(engines[1], "gates", -0.999)
    check = verify(tiny_bundle, engines[0], never, FrameExitPolicy(1.0, (0.0,)), 1e-4, "int8")
    assert check.max_error is None
    assert check.exit_steps_changed == check.clips == 6
    assert check.parts["gates"].relative == pytest.approx(0.999, abs=1e-5)


@pytest.mark.parametrize(
    ("part", "amount", "words"),
    [
        ("backbone", 1e6, "no better than an output of zeros"),
        ("backbone", float("nan"), "no better"),
        ("gates", float("inf"), ""),
    ],
)
def test_unusable_precision_fails(
    tiny_bundle: Bundle, engines: tuple[Engine, Engine], part: str, amount: float, words: str
) -> None:
    with pytest.raises(CheckError, match=f"^{part}: int8 differs from PyTorch.*{words}.*omit int8"):
        verify(tiny_bundle, engines[0], Disturbed(engines[1], part, amount), POLICY, 1e-4, "int8")


def test_difference() -> None:
    found = difference(np.array([100.0, 1.0]), np.array([100.0, 2.0]))
    assert (found.absolute, found.relative) == (1.0, 0.01)
    assert difference(np.array([0.1]), np.array([0.2])).relative == pytest.approx(0.1)
    assert difference(np.zeros((2, 3)), np.zeros((2, 2))).absolute == float("inf")
    assert np.isnan(difference(np.zeros(1), np.array([np.nan])).relative)


def test_check_clips_are_different_and_cover_the_range() -> None:
    clips = check_clips(10, 40, 50)
    assert [clip.shape for clip in clips] == [(10, 40, 50, 3)] * 3
    assert all(clip.dtype == np.uint8 and clip.max() > 200 and clip.min() < 50 for clip in clips)
