"""Fixtures of the tests that decode videos, many of which are damaged."""

from __future__ import annotations

import av
import pytest


@pytest.fixture(autouse=True)
def _quiet() -> None:
    av.logging.set_level(av.logging.PANIC)
