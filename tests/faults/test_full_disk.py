"""A full disk is a one-line error that leaves nothing half-written: with free space, the command gives its output."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.commands import EXPORT, PACKAGE, PREPARE, REPORT, RESUME, RUN, SWEEP, WritingCommand
from tests.faults.conftest import Undisturbed
from tests.faults.process import check_ended, vbench
from tests.faults.test_kill import SEED, named
from tests.fuzz.samples import Samples

SIZES = 2
_SMALLEST = 16 << 10
_ENOUGH = 256 << 20


class Disk:
    """A small file system in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mounted = False

    def mount(self, size: int) -> None:
        """Mount it, empty, with ``size`` bytes; skip the test if mounting is not permitted."""
        self.unmount()
        self.folder.mkdir(exist_ok=True)
        options = f"size={size},mode=755"
        found = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.folder], capture_output=True, text=True, check=False
        )
        if found.returncode:
            pytest.skip(f"mounting a small file system is not permitted here: {found.stderr.strip()}")
        self.mounted = True

    def grow(self) -> None:
        """Provide enough space."""
        subprocess.run(["mount", "-o", f"remount,size={_ENOUGH}", self.folder], check=True)

    def unmount(self) -> None:
        if self.mounted:
            subprocess.run(["umount", self.folder], check=True)
        self.mounted = False


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "disk")
    yield made
    made.unmount()


@pytest.mark.parametrize("command", [*named(RUN), *named(RESUME, PREPARE, PACKAGE, SWEEP, REPORT, EXPORT, slow=True)])
def test_full_disk(command: WritingCommand, samples: Samples, undisturbed: Undisturbed, disk: Disk) -> None:
    expected, _ = undisturbed(command)
    generator = random.Random(f"{SEED}/{command.name}")
    sizes = 1 if command is EXPORT else SIZES
    for _ in range(sizes):
        disk.mount(_ENOUGH)
        folder = disk.folder / "work"
        arguments = command.start(samples, folder)
        needed = _used(folder)
        # Between what the inputs of the command take and what its output takes as well.
        subprocess.run(
            ["mount", "-o", f"remount,size={needed + generator.choice(_room(command))}", disk.folder], check=True
        )
        ended = vbench(folder, arguments)
        check_ended(ended)
        assert not list(folder.rglob(".*"))
        disk.grow()
        command.repeat(samples, folder, expected)
        disk.unmount()


def _used(folder: Path) -> int:
    """Return the bytes of all pages that a folder takes in memory."""
    return sum(-(-path.lstat().st_size // 4096) * 4096 for path in folder.rglob("*")) + _SMALLEST // 4


def _room(command: WritingCommand) -> tuple[int, ...]:
    """Return numbers of bytes that are too few at different points of a command."""
    pages = {RUN: (0, 1, 2, 3, 4), RESUME: (0, 1, 2), PREPARE: (0, 2, 8, 20), PACKAGE: (0, 8, 30), EXPORT: (0, 10, 30)}
    return tuple(4096 * number for number in pages.get(command, (0, 1)))
