"""Markers for individual cases of a parametrized test."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def slow_except(fast: Collection[Any], cases: Iterable[Any]) -> list[Any]:
    """Return ``cases`` for ``pytest.mark.parametrize``, with all cases except the ``fast`` ones marked slow."""
    cases = list(cases)
    assert all(case in cases for case in fast), "a fast case does not exist"
    return [case if case in fast else _slow(case) for case in cases]


def _slow(case: Any) -> Any:
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
