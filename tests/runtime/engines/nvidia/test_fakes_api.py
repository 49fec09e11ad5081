"""The fakes of TensorRT have the names, signatures, enum values and behavior of NVIDIA's own bindings."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest

from tests.fakes import MODULES, load_api, make_tensorrt
from tests.fakes.api import DESCRIPTION
from tests.fakes.behavior import outcomes
from tests.fakes.bindings import Implementation
from tests.fakes.nvidia import described, missing
from tests.fakes.nvidia import outcomes as real_outcomes
from tests.fakes.signatures import parse
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


@pytest.mark.parametrize("kind", Implementation.__subclasses__(), ids=lambda kind: kind.api)
def test_implementations_take_the_described_parameters(kind: type[Implementation]) -> None:
    """The fakes pass arguments by the names of NVIDIA's parameters."""
    specs = [load_api(flavor).classes[kind.api] for flavor in MODULES if kind.api in load_api(flavor).classes]
    calls = [call for spec in specs for call in spec["methods"].items() if hasattr(kind, call[0])]
    assert specs
    for name, overloads in calls:
        given = set(inspect.signature(getattr(kind, name)).parameters)
        assert any({each.name for each in parse(text).parameters} <= given for text in overloads), f"{kind}.{name}"


@pytest.mark.slow
@pytest.mark.parametrize("flavor", FLAVORS)
def test_description(flavor: str) -> None:
    """After an update of NVIDIA's packages, `python -m tests.fakes.nvidia` writes it anew."""
    assert description()[flavor] == described(flavor)


@pytest.mark.slow
@pytest.mark.parametrize("flavor", FLAVORS)
def test_behavior(flavor: str) -> None:
    assert outcomes(make_tensorrt(flavor)) == real_outcomes(flavor)
