"""The command with standard streams that are full, closed or limited to ASCII, and interrupted at any time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.interrupts import heed_interrupts
from vbench.cli.common import streams

COMMAND = (sys.executable, "-m", "vbench")
FULL = Path("/dev/full")
OTHERS = (("--version",), ("data", "--help"))
PIPE = "| true; exit ${PIPESTATUS[0]}"
needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


def vbench(*args: str, shell: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command with the redirections of ``shell``."""
    command = ["bash", "-c", f'"$@" {shell}', "bash", *COMMAND, *args]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=120,
        check=False,
        preexec_fn=heed_interrupts,
    )


def test_python_m_vbench_is_vbench() -> None:
    assert vbench("--version").stdout == subprocess.check_output(
        [sys.executable, "-c", "from vbench.cli.main import main; main()", "--version"], text=True
    )
    shown = vbench("inspect", "--help").stdout
    assert "Usage: vbench inspect " in shown
    assert "python" not in shown
    ended = vbench("inspect", "nowhere")
    assert (ended.returncode, ended.stderr.partition(";")[0]) == (2, "vbench: there is no bundle at nowhere")


@needs_full
@pytest.mark.parametrize("unbuffered", ["", pytest.param("1", marks=pytest.mark.slow)])
@pytest.mark.parametrize("args", [("--help",), *(pytest.param(each, marks=pytest.mark.slow) for each in OTHERS)])
def test_a_full_disk_behind_stdout_is_an_error(args: Sequence[str], unbuffered: str) -> None:
    ended = vbench(*args, shell="> /dev/full", PYTHONUNBUFFERED=unbuffered)
    assert ended.returncode == 3
    assert ended.stderr == (
        "vbench: cannot write the output: no space left on the disk; free some space or write elsewhere\n"
    )


@needs_full
@pytest.mark.parametrize("unbuffered", ["", pytest.param("1", marks=pytest.mark.slow)])
def test_a_full_disk_behind_stderr_changes_nothing(unbuffered: str) -> None:
    ended = vbench("inspect", "nowhere", shell="2> /dev/full", PYTHONUNBUFFERED=unbuffered)
    assert (ended.returncode, ended.stdout) == (2, "")


@pytest.mark.parametrize(
    "shell",
    ["<&- >&- 2>&-", *(pytest.param(each, marks=pytest.mark.slow) for each in (">&-", "2>&-", ">&- 2>&-", PIPE))],
)
def test_closed_streams_are_no_reason_to_fail(shell: str) -> None:
    ended = vbench("inspect", "nowhere", shell=shell)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stdout + ended.stderr
    assert "Exception ignored" not in ended.stdout + ended.stderr


@pytest.mark.parametrize("shell", [PIPE, pytest.param(">&-", marks=pytest.mark.slow)])
def test_output_that_nobody_reads_is_no_error(shell: str) -> None:
    ended = vbench("--help", shell=shell)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_a_file_never_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    code = (
        "from vbench.cli.common.streams import prepare_streams; prepare_streams()\n"
        f"file = open({str(tmp_path / 'file')!r}, 'w'); assert file.fileno() > 2\n"
        "import os; os.write(1, b'native'); os.write(2, b'native'); file.close()"
    )
    ended = subprocess.run(["bash", "-c", '"$@" <&- >&- 2>&-', "bash", sys.executable, "-c", code], check=False)
    assert ended.returncode == 0
    assert (tmp_path / "file").read_text() == ""


def test_characters_that_the_encoding_lacks_are_replaced() -> None:
    code = (
        "from vbench.cli.common.streams import prepare_streams, report_error; prepare_streams()\n"
        "print('gate 0.1 ≤ 0.5 Größe'); report_error('no \u52d5\u753b', 2)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == "gate 0.1 <= 0.5 Gr\\xf6\\xdfe\n"
    assert ended.stderr == "vbench: no \\u52d5\\u753b\n"


@pytest.mark.parametrize(
    "name",
    ["a\x1b[31mb\n", *(pytest.param(each, marks=pytest.mark.slow) for each in ("\u202egpj", "byte \udcff"))],
)
def test_names_reach_the_terminal_without_control_characters(name: str) -> None:
    ended = vbench("inspect", name)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.removesuffix("\n").isprintable()


@pytest.mark.parametrize(
    "moment",
    ["typer", *(pytest.param(each, marks=pytest.mark.slow) for each in ("vbench.files", "rich", "vbench.cli.run"))],
)
def test_an_interruption_during_imports_is_one_line(moment: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {moment!r} and 'vbench.cli.main' in sys.modules:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    ended = vbench("doctor", "--help", PYTHONPATH=path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "vbench: interrupted\n")


def test_an_interruption_that_a_library_turns_into_another_error_is_one(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text(
        "import os, signal\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    import time; time.sleep(10)\n"
        "except KeyboardInterrupt:\n"
        "    raise ImportError('initialization failed')\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    ended = vbench("doctor", PYTHONPATH=path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "vbench: interrupted\n")


def test_an_ignored_interruption_stays_ignored() -> None:
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from vbench.cli.common.stop import StopSignals; StopSignals().install()\n"
        "signal.raise_signal(signal.SIGINT)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_entry_point_imports_nothing_heavy() -> None:
    code = "import sys; before = set(sys.modules); import vbench.cli.main; print(*sorted(set(sys.modules) - before))"
    new = subprocess.check_output([sys.executable, "-X", "frozen_modules=on", "-c", code], text=True).split()
    modules = ["vbench", "vbench.cli", "vbench.cli.common", "vbench.cli.common.stop", "vbench.cli.main"]
    assert [name for name in new if name.startswith("vbench")] == modules
    assert not {"typer", "rich", "numpy", "pathlib", "typing_extensions"} & set(new)


def test_a_note_that_cannot_be_written_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        closed = False

        def write(self, *_: str) -> int:
            raise OSError(28, "No space left on device")

        flush = write

    monkeypatch.setattr(sys, "stderr", Broken())
    stream = streams.Stderr()
    assert stream.write("note\n") == 5
    monkeypatch.setattr(sys, "stderr", None)
    assert stream.write("note\n") == 5
    stream.flush()
    assert not stream.isatty()
