"""Fixture of the fakes' own tests: all packages imported, the primary context pushed."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest

from .api import MODULES
from .install import install
from .toy import WIDTH, Part, build, feature_onnx

ROW = 4 * WIDTH  # bytes of a row


@pytest.fixture(params=list(MODULES))
def lab(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """Yield the modules (trt, cuda, rt), the machine, a logger and a runtime."""
    machine = install(monkeypatch, request.param)
    trt, cuda, rt = map(import_module, (MODULES[request.param][0], "pycuda.driver", "cuda.bindings.runtime"))
    cuda.init()
    cuda.Device(0).retain_primary_context().push()
    logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
    found = SimpleNamespace(trt=trt, cuda=cuda, rt=rt, machine=machine, logger=logger, flavor=request.param)
    found.runtime = trt.Runtime(logger)  # the only reference, so that a test can release it
    yield found
    cuda.Context.pop()
    machine.assert_balanced()


def part(lab: SimpleNamespace, content: bytes | None = None, **strategy: Any) -> Part:
    """Return an engine with its context, for the first toy part or another one."""
    return Part(lab.trt, lab.runtime, build(lab.trt, lab.logger, content or feature_onnx()), **strategy)
