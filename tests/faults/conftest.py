"""Samples, and the output of every command without a fault."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.commands import WritingCommand, state
from tests.faults.process import check_ended, vbench
from tests.fuzz.samples import Samples, build_samples

Undisturbed = Callable[[WritingCommand], tuple[dict[str, str], int]]


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    found = Samples(tmp_path_factory.mktemp("samples"))
    build_samples(found)
    return found


@pytest.fixture(scope="session")
def undisturbed(samples: Samples, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Return the state of the working folder after a command without a fault, and the number of its writes."""

    @functools.cache
    def run(command: WritingCommand) -> tuple[dict[str, str], int]:
        folder: Path = tmp_path_factory.mktemp(command.name) / "work"
        ended = vbench(folder, command.start(samples, folder))
        check_ended(ended)
        assert ended.code == 0, ended.err
        return state(folder), ended.writes

    return run
