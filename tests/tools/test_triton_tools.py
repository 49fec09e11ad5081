"""The tools for the real Triton server: the report of the load test, and what they say without a server."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.triton_server import ServerError, free_ports, last_line, processes_of, stop
from tools import triton_env, triton_load
from tools.triton_load import SCHEDULES, Turn, report


def test_the_report_compares_the_schedules_turn_by_turn() -> None:
    latencies = tuple(float(value) for value in range(1, 101))
    inflight = [Turn(100.0, latencies), Turn(300.0, latencies), Turn(200.0, latencies)]
    lockstep = [Turn(50.0, latencies), Turn(100.0, latencies), Turn(200.0, latencies)]
    text = report({(4, SCHEDULES[0]): inflight, (4, SCHEDULES[1]): lockstep}, 100, "load average 0.1")
    assert "load average 0.1" in text
    assert "3 turns of 100 requests of one clip each" in text
    row = text.splitlines()[-1]
    assert row == ("| 4 | 200 (100 to 300) | 100 (50 to 200) | 2.00 (1.00 to 3.00) | 50.5, p95 95.0 | 50.5, p95 95.0 |")


@pytest.mark.parametrize("option", [("--clients", "4,0"), ("--repetitions", "0"), ("--requests", "-1")])
def test_numbers_must_be_positive(
    option: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["triton_load", *option])
    with pytest.raises(SystemExit):
        triton_load.main()
    assert "must be 1 or more" in capsys.readouterr().err


def test_a_missing_environment_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VBENCH_TRITON_VENV", str(tmp_path / "none"))
    monkeypatch.setattr("sys.argv", ["triton_load"])
    assert triton_load.main() == 3
    said = capsys.readouterr().err
    assert said == f"there is no server at {tmp_path / 'none'}; run: python -m tools.triton_env\n"


def test_a_machine_without_the_right_library_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["triton_env"])
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.31"))
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert triton_env.main() == 3
    assert capsys.readouterr().err == "the server needs glibc 2.35 or newer, and this machine has 2.31\n"


def test_a_static_python_is_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["triton_env"])
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("sysconfig.get_config_var", lambda name: {"LIBDIR": "/lib", "INSTSONAME": "libpython.a"}[name])
    assert triton_env.main() == 3
    assert "the server needs the shared library of Python, libpython3." in capsys.readouterr().err


def test_an_environment_is_complete_or_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise subprocess.CalledProcessError(1, ["pip", "install", "numpy"])

    monkeypatch.setattr("sys.argv", ["triton_env", "--folder", str(tmp_path)])
    monkeypatch.setattr(triton_env, "_problem", lambda: "")
    monkeypatch.setattr("venv.create", lambda target, **_: target.mkdir(parents=True))
    monkeypatch.setattr("subprocess.run", fail)
    assert triton_env.main() == 3
    assert "triton was not created: pip install numpy failed" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_stopping_a_server_leaves_no_process() -> None:
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    while processes_of(process.pid) == [""]:  # until it has become another program
        time.sleep(0.01)
    assert processes_of(process.pid) == ["sleep 60 "]
    stop(process)
    assert processes_of(process.pid) == []


def test_a_process_that_is_left_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.triton_server.LEFT_LIMIT_S", 0.2)
    process = subprocess.Popen(["sh", "-c", "trap 'exit 0' TERM; sleep 60 & wait"], start_new_session=True)
    while len(processes_of(process.pid)) < 2:
        assert process.poll() is None
    with pytest.raises(ServerError, match=r"the server left processes behind: .*sleep 60"):
        stop(process)


def test_the_reason_is_found_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("one\n| net | 1 | UNAVAILABLE: Internal: no pixels |\nerror: creating server\n\n")
    assert last_line(log) == "Internal: no pixels"
    log.write_text("one\nerror: port in use\n\n")
    assert last_line(log) == "error: port in use"
    log.write_text("")
    assert last_line(log) == "(an empty log)"
    assert len(set(free_ports(3))) == 3
