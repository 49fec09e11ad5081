"""``run.json``, the record of a run: file name, schema version, and its only reader.

A missing, foreign or incompatible record raises a one-line error that names the run. Readers access entries
through `Entries`, which checks their types.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ...errors import RunError
from ...json_file import read_json, type_name

RUN_FILE = "run.json"
SCHEMA_VERSION = 4
OLDEST_MIGRATED = 3  # the oldest version that vbench migrate converts
_NAMES = {
    dict: "an object",
    list: "a list",
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}

_T = TypeVar("_T")


@dataclass(frozen=True)
class Entries:
    """Entries of a record, or of an object ``within`` it, with types checked on access.

    Attributes:
        run: the run folder, for errors.
        content: the entries as parsed from JSON.
        within: name of the object; "" for the record itself.
    """

    run: Path
    content: Mapping[str, Any] = field(repr=False)
    within: str = ""

    def get(self, key: str, kind: type[_T]) -> _T:
        """Return the entry ``key``.

        Raises:
            RunError: it is missing or not of type ``kind``.
        """
        value = self.content.get(key)
        # bool is a subclass of int in Python
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            found = type_name(value) if key in self.content else "missing"
            raise self.error(key, f"is {found}, not {_NAMES[kind]}")
        return value

    def number(self, key: str) -> float:
        """Return the number ``key``.

        Raises:
            RunError: it is missing or not a finite number.
        """
        value = self.content.get(key)
        # Python's json accepts NaN.
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.error(key, f"is {value!r}, not a number")
        return float(value)

    def number_or_none(self, key: str) -> float | None:
        """Return the number ``key``; None if it is missing or null."""
        return None if self.content.get(key) is None else self.number(key)

    def counts(self, key: str) -> tuple[int, ...]:
        """Return the entry ``key``, a list of counts.

        Raises:
            RunError: it is missing, is not a list, or contains a value that is not an integer >= 0.
        """
        found = self.get(key, list)
        if not all(type(count) is int and count >= 0 for count in found):
            raise self.error(key, "holds a value that is not a count")
        return tuple(found)

    def object(self, key: str) -> Entries:
        """Return the object ``key``.

        Raises:
            RunError: it is missing or not an object.
        """
        return Entries(self.run, self.get(key, dict), key)

    def object_or_empty(self, key: str) -> Entries:
        """Return the object ``key``; an empty one if it is missing or null."""
        return Entries(self.run, {}, key) if self.content.get(key) is None else self.object(key)

    def error(self, key: str, problem: str, hint: str = "repeat the run") -> RunError:
        """Return the error for the entry ``key``; ``problem`` is a predicate such as ``is missing``."""
        where = f"{self.within}.{key}" if self.within else key
        return RunError(f"{self.run}: {RUN_FILE}: {where} {problem}", hint)


class RunRecord(Entries):
    """The record of a run: its configuration and environment (see ``RunHeader``) and its metrics."""

    @property
    def complete(self) -> bool:
        """Whether the run has finished."""
        return self.content.get("complete") is True


def read_run(run: Path, *, finished: bool = False) -> RunRecord:
    """Return the record of the run in the folder ``run``.

    Args:
        run: folder written by ``vbench run``.
        finished: reject a run that did not finish.

    Raises:
        RunError: the folder or its ``run.json`` is missing, the record is not JSON or has a different schema version,
            or the run did not finish.
    """
    if not run.is_dir():
        raise RunError(f"run folder {run} does not exist", "pass a folder written by vbench run")
    content = read_content(run)
    if content.get("schema_version") != SCHEMA_VERSION:
        raise version_error(run, content)
    record = RunRecord(run, content)
    if finished and not record.complete:
        raise RunError(f"{run}: the run did not finish", f"resume it: vbench run --resume {run}")
    return record


def read_content(run: Path) -> Mapping[str, Any]:
    """Return the contents of the record in the folder ``run``, whatever its schema version.

    Raises:
        RunError: ``run.json`` is missing or not a JSON object.
    """
    return _parse(run / RUN_FILE)


def version_error(run: Path, content: Mapping[str, Any]) -> RunError:
    """Return the error for a record whose schema version is not the current one."""
    version = content.get("schema_version")
    if _is_old(content):
        remedy = f"run vbench migrate {run}"
    elif isinstance(version, int) and version > SCHEMA_VERSION:
        remedy = "update vbench"
    else:
        remedy = "repeat the run with this version of vbench, or read it with the version that wrote it"
    return RunError(f"{run}: {RUN_FILE} has schema version {version}, expected {SCHEMA_VERSION}", remedy)


def _is_old(content: Mapping[str, Any]) -> bool:
    """Return whether ``vbench migrate`` converts the record."""
    version = content.get("schema_version")
    return isinstance(version, int) and OLDEST_MIGRATED <= version < SCHEMA_VERSION


def is_run(folder: Path) -> bool:
    """Return whether a folder contains the record of a run, readable or not."""
    return (folder / RUN_FILE).exists()


def variant_runs(folder: Path) -> list[Path]:
    """Return the runs in ``folder`` that are variants of one run; [] if it has no variants or is itself a run.

    If there are variants, runs with an unreadable record are included, so that reading them reports the cause.
    """
    if is_run(folder):
        return []
    variants = {run: _variant(run) for run in runs_in(folder)}
    if not any(run.name == variant for run, variant in variants.items()):
        return []
    return [run for run, variant in variants.items() if variant in (run.name, None)]


def runs_in(folder: Path) -> list[Path]:
    """Return the run folders in ``folder``, sorted by name, except hidden ones, which are incomplete."""
    return sorted(file.parent for file in folder.glob(f"*/{RUN_FILE}") if not file.parent.name.startswith("."))


def _variant(run: Path) -> str | None:
    """Return the variant name of a run, "" if it is not a variant; None if its record cannot be read.

    A record from an older version counts as a variant: reading it raises the error that names ``vbench migrate``.
    """
    try:
        content = read_content(run)
    except RunError:
        return None
    return run.name if _is_old(content) else str(content.get("variant") or "")


def _parse(file: Path) -> Mapping[str, Any]:
    hint = "pass a folder written by vbench run"
    if not file.is_file():
        raise RunError(f"{file.parent} has no {RUN_FILE}", hint)
    return read_json(file, RunError, hint)
