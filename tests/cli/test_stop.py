"""SIGTERM and SIGHUP end a command like Ctrl-C: with one line, and with nothing half-written."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import os, signal, sys
from pathlib import Path
from vbench.cli import app as command_line, main
from vbench.files import whole_file, whole_folder
out, number, wrapped = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "wrapped"
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background process may ignore it

def app(**_):
    try:
        with whole_folder(out / "bundle") as folder, whole_file(out / "file"):
            (folder / "weights").touch()
            os.kill(os.getpid(), number)
            signal.pause()
    except BaseException as error:
        if wrapped:  # as some libraries do
            raise RuntimeError("the conversion failed") from error
        raise

command_line.app = app
main.main()
"""


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(
    ("number", "words"),
    [(signal.SIGTERM, "ended by SIGTERM"), (signal.SIGHUP, "ended by SIGHUP"), (signal.SIGINT, "interrupted")],
)
def test_nothing_is_left(tmp_path: Path, number: signal.Signals, words: str, wrapped: bool) -> None:
    args = [str(tmp_path), str(int(number)), "wrapped" if wrapped else "plain"]
    ended = subprocess.run([sys.executable, "-c", CODE, *args], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout, ended.stderr) == (128 + number, "", f"vbench: {words}\n")
    assert not any(tmp_path.iterdir())


def test_an_ignored_signal_stays_ignored(tmp_path: Path) -> None:
    code = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + CODE.replace("signal.pause()", "pass")
    args = [str(tmp_path), str(int(signal.SIGHUP)), "plain"]
    ended = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "file"]
