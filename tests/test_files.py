"""Atomic writes: random temporary names, no planted link is followed, leftovers of killed processes are removed."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from vbench import files
from vbench.errors import MissingError, UsageError
from vbench.files import scratch_folder, whole_file, whole_folder

Whole = Callable[[Path], AbstractContextManager[Path]]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def interrupted(whole: AbstractContextManager[Path], write: Callable[[Path], object]) -> None:
    def block() -> None:
        with whole as temporary:
            write(temporary)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        block()


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    out = tmp_path / "new" / "figure.svg"
    with whole_file(out) as temporary:
        assert temporary.parent == out.parent
        assert temporary.suffix == ".svg"
        assert not out.exists()
        temporary.write_text("done")
    assert out.read_text() == "done"
    assert names(out.parent) == ["figure.svg"]


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with whole_file(tmp_path / "file") as temporary:
            temporary.write_text("")
        with whole_folder(tmp_path / "folder"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o750


def test_a_failure_leaves_nothing_and_keeps_the_old_file(tmp_path: Path) -> None:
    out = tmp_path / "file"
    out.write_text("old")
    interrupted(whole_file(out), lambda temporary: temporary.write_text("new"))
    interrupted(whole_folder(tmp_path / "folder"), lambda temporary: (temporary / "part").touch())
    assert (out.read_text(), names(tmp_path)) == ("old", ["file"])


@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_temporary_names_are_random(tmp_path: Path, whole: Whole) -> None:
    seen: list[str] = []
    for _ in range(3):
        interrupted(whole(tmp_path / "out"), lambda temporary: seen.append(temporary.name))
    assert len(set(seen)) == 3


@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_a_planted_link_is_not_followed(tmp_path: Path, whole: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    monkeypatch.setattr("vbench.files.secrets.token_hex", lambda size: "0" * 2 * size)
    (tmp_path / f".out.tmp-{'0' * 16}").symlink_to(victim)
    with pytest.raises(UsageError, match="exists"), whole(tmp_path / "out") as temporary:
        temporary.write_text("overwritten")
    assert victim.read_text() == "precious"


def test_a_scratch_folder_is_removed(tmp_path: Path) -> None:
    with scratch_folder(tmp_path, "parts") as folder:
        (folder / "part").touch()
        assert folder.parent == tmp_path
        with scratch_folder(tmp_path, "parts") as other:
            assert other != folder
        assert names(tmp_path) == [folder.name], "a folder in use is not removed"
    assert names(tmp_path) == []
    interrupted(scratch_folder(tmp_path, "parts"), lambda temporary: (temporary / "part").touch())
    assert names(tmp_path) == []
    (tmp_path / f".parts.tmp-{'0' * 16}").mkdir()  # of a process that was killed
    with scratch_folder(tmp_path, "parts"):
        assert len(names(tmp_path)) == 1


def test_a_long_name_has_a_temporary_name(tmp_path: Path) -> None:
    out = tmp_path / ("é" * 120 + ".json")
    with whole_file(out) as temporary:
        temporary.write_text("")
    assert names(tmp_path) == [out.name]


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    out = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.json"))
    for _ in range(2):
        with whole_file(out) as temporary:
            temporary.write_text("")
    assert [os.fsencode(name) for name in names(tmp_path)] == [b"caf\xe9.json"]


@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_is_replaced(tmp_path: Path, exchange: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not exchange:  # as on systems other than Linux
        monkeypatch.setattr(files, "_exchange", lambda *_: False)
    out = tmp_path / "bundle"
    for content in ("old", "new"):
        with whole_folder(out, replace=True) as temporary:
            (temporary / content).touch()
    assert names(out) == ["new"]
    assert names(tmp_path) == ["bundle"]
    with pytest.raises(UsageError, match="already exists; add --force"), whole_folder(out):
        pass


def test_a_replaced_link_leaves_its_target(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "old").touch()
    (tmp_path / "bundle").symlink_to(tmp_path / "target")
    with whole_folder(tmp_path / "bundle", replace=True) as temporary:
        (temporary / "new").touch()
    assert names(tmp_path / "bundle") == ["new"]
    assert names(tmp_path / "target") == ["old"]
    assert names(tmp_path) == ["bundle", "target"]


KILLED = """
import os, signal, sys
from pathlib import Path
from vbench.files import whole_file, whole_folder
with whole_folder(Path(sys.argv[1], "out")) as folder, whole_file(Path(sys.argv[1], "out.json")) as file:
    (folder / "large").write_text("x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_leftovers_of_a_killed_process_are_removed_by_the_next_one(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)])
    assert ended.returncode == -signal.SIGKILL
    assert len(names(tmp_path)) == 2
    (tmp_path / ".out.other").touch()  # not a name that vbench gives
    with whole_folder(tmp_path / "out"), whole_file(tmp_path / "out.json"):
        pass
    assert names(tmp_path) == [".out.other", "out", "out.json"]


def test_the_temporary_folder_of_a_running_process_stays(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "out", replace=True) as first:
        (first / "first").touch()
        with whole_folder(tmp_path / "out", replace=True) as second:
            (second / "second").touch()
        assert names(first) == ["first"]
    assert names(tmp_path / "out") == ["first"]
    assert names(tmp_path) == ["out"]


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(MissingError, match="no space left on the disk"), whole_file(tmp_path / "file") as temporary:
            temporary.write_bytes(bytes(200))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names(tmp_path) == []
