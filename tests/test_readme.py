"""The README matches the project: commands, options and links."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vbench.cli.app import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(?:\w*)\n(.*?)```", README, re.DOTALL)
INSTALLS = [block.strip() for block in BLOCKS if block.startswith("python3 -m venv")]
COMMANDS = sorted(
    {line.split("#")[0].strip() for block in BLOCKS for line in block.splitlines() if line[:7] == "vbench "}
)


def test_the_two_commands_match_ci_and_just() -> None:
    assert len(INSTALLS) == 2
    demo, test = INSTALLS
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert f"\n{test}\n" in ci
    assert ci.endswith("\n.venv/bin/pytest -m 'slow or server'\n")
    recipes = (ROOT / "Justfile").read_text(encoding="utf-8")
    assert f"demo:\n    {demo}\n" in recipes
    assert f"test:\n    {test}\n" in recipes
    assert "test-all:\n    .ci/run\n" in recipes


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 6


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_exists(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    words = shlex.split(command)[1:]
    path = [word for word in words[:2] if re.fullmatch(r"[a-z]+", word)]
    path = path if path[0] in ("data", "plot") else path[:1]
    ended = CliRunner().invoke(app, [*path, "--help"])
    assert ended.exit_code == 0
    shown = ended.stdout
    for option in (word for word in words if word.startswith("-")):
        assert re.search(rf"(^|\s|│){option}\b", shown), f"{option} is not an option of vbench {' '.join(path)}"


def test_linked_files_exist() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        assert (ROOT / target).exists(), target
