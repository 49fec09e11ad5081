"""The fakes of TensorRT have the names, signatures, enum values and behavior of NVIDIA's own bindings."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fakes import MODULES, make_tensorrt
from tests.fakes.api import DESCRIPTION
from tests.fakes.behavior import outcomes
from tests.fakes.nvidia import described, missing
from tests.fakes.nvidia import outcomes as real_outcomes
from tools.nvidia_wheels import LEAN_WHEELS, RTX_VERSION

FLAVORS = [
    pytest.param(flavor, marks=pytest.mark.skipif(missing(flavor) is not None, reason=missing(flavor) or ""))
    for flavor in MODULES
]


def description() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(DESCRIPTION.read_text())
    return content


def test_versions() -> None:
    """The description is of the releases that are downloaded."""
    versions = {flavor: version for flavor, (_, version) in LEAN_WHEELS.items()} | {"rtx": RTX_VERSION}
    assert {flavor: spec["version"] for flavor, spec in description().items()} == versions


@pytest.mark.slow
@pytest.mark.parametrize("flavor", FLAVORS)
def test_description(flavor: str) -> None:
    """After an update of NVIDIA's packages, `python -m tests.fakes.nvidia` writes it anew."""
    assert description()[flavor] == described(flavor)


@pytest.mark.slow
@pytest.mark.parametrize("flavor", FLAVORS)
def test_behavior(flavor: str) -> None:
    assert outcomes(make_tensorrt(flavor)) == real_outcomes(flavor)
