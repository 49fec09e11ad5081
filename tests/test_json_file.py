"""Damaged and malicious JSON is one error that names the file and the problem."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from vbench import json_file
from vbench.errors import RunError
from vbench.json_file import MAX_DEPTH, JsonError, parse_json, read_json


def nested(depth: int, kind: str) -> str:
    opening, closing = {"list": ("[", "]"), "object": ('{"a":', "}"), "mixed": ('[{"a":', "}]")}[kind]
    return opening * depth + "0" + closing * depth


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 900, 5_000, 100_000])
@pytest.mark.parametrize("kind", ["list", "object", "mixed"])
@pytest.mark.parametrize("within", ["%s", '{"schema_version": 4, "parts": %s}'])
def test_deep_nesting(depth: int, kind: str, within: str) -> None:
    with pytest.raises(JsonError, match=f"is nested more than {MAX_DEPTH} levels deep"):
        parse_json(within % nested(depth, kind))


def test_wide_and_moderately_deep_documents_are_valid() -> None:
    wide: list[object] = [[number, {"a": []}] for number in range(1000)]
    assert parse_json(json.dumps(wide)) == wide
    parse_json(nested(MAX_DEPTH, "list"))
    assert parse_json('"' + "[" * 1000 + '"') == "[" * 1000


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ("{} {}", "Extra data"),
        ('{"a": NaN}', "contains NaN"),
        ("[-Infinity]", "contains -Infinity"),
        ("[1e999]", "the number 1e999 is out of range"),
        ('{"a": 1, "a": 2}', "the key 'a' is repeated"),
        ('{"b": {"a": 1, "\\u0061": 2}}', "the key 'a' is repeated"),
        ("1" * 5000, "the number 1111.* is out of range"),
        ("[9223372036854775808]", "the number 9223372036854775808 is out of range"),
        ('{"a": -1' + "0" * 400 + "}", "the number -10.* is out of range"),
        (b"\xff\xfe\x00", "not text"),
        (b'{"a": "\xff"}', "not text"),
        (b"\x00\x01\x02\x03", "not text|Expecting value"),
    ],
)
def test_invalid(text: str | bytes, problem: str) -> None:
    with pytest.raises(JsonError, match=problem):
        parse_json(text)


def test_encodings_with_and_without_a_mark() -> None:
    text = '{"größe": "\U0001f3ac"}'
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le"):
        assert parse_json(text.encode(encoding)) == {"größe": "\U0001f3ac"}
    assert parse_json('"\\udcff"') == "\udcff"  # a file name that is not UTF-8


def test_the_hook_sees_every_object() -> None:
    assert parse_json('[{"a": {"b": 1}}]', lambda value: sorted(value)) == [["a"]]


@pytest.mark.parametrize(
    ("content", "problem"),
    [("[1]", "holds a list, not an object"), ("null", "holds null"), ("true", "holds a boolean"), ("[", "not valid")],
)
def test_a_file_without_an_object(content: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(content)
    with pytest.raises(RunError, match=problem) as raised:
        read_json(path, RunError, "run it again")
    assert (str(path) in raised.value.message, raised.value.hint) == (True, "run it again")


def test_missing_files_folders_pipes_and_large_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")  # reading it would wait forever
    (tmp_path / "large").write_text("{}" + " " * 100)
    monkeypatch.setattr(json_file, "MAX_BYTES", 100)
    for name, problem in (
        ("missing", "cannot read .*No such file"),
        ("folder", "cannot read .*Is a directory"),
        ("pipe", "it is a named pipe, not a file"),
        ("large", "is larger than"),
    ):
        with pytest.raises(RunError, match=problem):
            read_json(tmp_path / name, RunError, "run it again")
