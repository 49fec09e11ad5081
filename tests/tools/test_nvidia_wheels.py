"""The download of NVIDIA's bindings: complete or absent, and never repeated."""

from __future__ import annotations

import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tools.nvidia_wheels import LEAN_WHEELS, RTX_COMMAND, folder, is_complete, main

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VBENCH_TEST_CACHE", str(tmp_path))


def fake_pip(calls: list[list[str]], *, version: str | None = None) -> Run:
    """Return a ``subprocess.run`` that writes the requested wheels, or those of another version."""

    def run(command: list[str], **options: Any) -> None:
        assert options["check"]
        assert options["timeout"] > 0
        target = Path(command[command.index("-d") + 1])
        target.mkdir()
        calls.append(command[command.index(str(target)) + 1 :])
        for package in calls[-1]:
            name, _, wanted = package.replace("-", "_").partition("==")
            label = f"{name}-{version or wanted}"
            with zipfile.ZipFile(target / f"{label}-py3-none-any.whl", "w") as wheel:
                wheel.writestr(f"{label}.dist-info/RECORD", "")

    return run


def test_downloads_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", fake_pip(calls))
    assert not any(map(is_complete, LEAN_WHEELS))
    assert main() == main() == 0
    assert calls == [
        ["tensorrt-lean-cu12-libs==10.16.1.11", "tensorrt-lean-cu12-bindings==10.16.1.11"],
        ["tensorrt-lean-cu13-libs==11.4.0.106", "tensorrt-lean-cu13-bindings==11.4.0.106"],
    ]
    assert all(map(is_complete, LEAN_WHEELS))
    assert {path.name for path in folder("10").parent.iterdir()} == set(LEAN_WHEELS)
    assert RTX_COMMAND in capsys.readouterr().out


def test_another_release_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", fake_pip(calls))
    main()
    monkeypatch.setitem(LEAN_WHEELS, "10", ("tensorrt_lean_cu12", "10.17.0.1"))
    main()
    assert len(calls) == 3
    assert not list(folder("10").glob("*10.16*"))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (lambda command: subprocess.CalledProcessError(1, command), "cannot download tensorrt-lean-cu12-libs"),
        (lambda command: subprocess.TimeoutExpired(command, 1), "cannot download tensorrt-lean-cu12-libs"),
        (None, "did not download tensorrt-lean-cu12-libs==10.16.1.11"),
    ],
)
def test_failures(monkeypatch: pytest.MonkeyPatch, error: Callable[[list[str]], Exception] | None, reason: str) -> None:
    def fail(command: list[str], **_: Any) -> None:
        raise error(command)

    run = fake_pip([], version="9.9.9.9") if error is None else fail
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(SystemExit) as ended:
        main()
    text = str(ended.value.code)
    assert "\n" not in text
    assert reason in text
    assert list(folder("10").parent.iterdir()) == []
