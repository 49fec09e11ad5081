"""Two processes that write the same output at the same time: one whole output, and an orderly end of both."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.commands import AUDIT, COMMANDS, EXPORT, RESUME, RUN, SWEEP, WritingCommand, check_output
from tests.faults.conftest import Undisturbed
from tests.faults.process import Vbench, barrier, check_ended
from tests.faults.test_kill import named
from tests.fuzz.samples import Samples

FAST = (RUN, RESUME, SWEEP)
ROUNDS = 3


@pytest.mark.parametrize(
    "command", [*named(*FAST), *named(*(each for each in COMMANDS if each not in FAST), slow=True)]
)
def test_two_at_once(command: WritingCommand, samples: Samples, undisturbed: Undisturbed, tmp_path: Path) -> None:
    expected, _ = undisturbed(command)
    for number in range(1 if command in (EXPORT, AUDIT) else ROUNDS):
        folder = tmp_path / f"round-{number}"
        arguments = command.start(samples, folder)
        together = barrier()
        both = [Vbench(folder, arguments, start_with=together) for _ in range(2)]
        ended = [each.wait() for each in both]
        for each in ended:
            check_ended(each)
        assert 0 in [each.code for each in ended], [each.err for each in ended]
        check_output(folder, expected)
