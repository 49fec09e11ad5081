"""``run.json``, the record of a run: its name, its schema, and the one place that reads it.

Whatever is missing, of another schema or of another type ends here, in one line that names the run; readers take
entries through `Entries` and never meet a half-written or foreign file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ...errors import RunError

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
    """Entries of a record, or of an object ``within`` it, whose types are checked as they are read.

    Attributes:
        run: the run folder, for errors.
        content: the entries as JSON holds them.
        within: name of the object; "" for the record itself.
    """

    run: Path
    content: Mapping[str, Any] = field(repr=False)
    within: str = ""

    def get(self, key: str, kind: type[_T]) -> _T:
        """Return the entry ``key``.

        Raises:
            RunError: it is missing, or not of that type.
        """
        value = self.content.get(key)
        # bool is an int in Python, and not in JSON
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            found = _NAMES[type(value)] if key in self.content else "missing"
            raise self.error(key, f"is {found}, not {_NAMES[kind]}")
        return value

    def number(self, key: str) -> float:
        """Return the number ``key``.

        Raises:
            RunError: it is missing, or not a finite number.
        """
        value = self.content.get(key)
        # JSON as Python writes it may hold NaN.
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.error(key, f"is {value!r}, not a number")
        return float(value)

    def number_or_none(self, key: str) -> float | None:
        """Return what ``number`` does, None where there is no such entry."""
        return None if self.content.get(key) is None else self.number(key)

    def counts(self, key: str) -> tuple[int, ...]:
        """Return the list of counts ``key``.

        Raises:
            RunError: it is missing, not a list, or holds something else than integers of 0 or more.
        """
        found = self.get(key, list)
        if not all(type(count) is int and count >= 0 for count in found):
            raise self.error(key, "holds something else than counts")
        return tuple(found)

    def object(self, key: str) -> Entries:
        """Return the object ``key``.

        Raises:
            RunError: it is missing, or not an object.
        """
        return Entries(self.run, self.get(key, dict), key)

    def object_or_empty(self, key: str) -> Entries:
        """Return what ``object`` does; one without entries where there is no such object."""
        return Entries(self.run, {}, key) if self.content.get(key) is None else self.object(key)

    def error(self, key: str, problem: str, hint: str = "run it again") -> RunError:
        """Return the error that the entry ``key`` has a problem, such as ``is missing``."""
        where = f"{self.within}.{key}" if self.within else key
        return RunError(f"{self.run}: {RUN_FILE}: {where} {problem}", hint)


class RunRecord(Entries):
    """The record of a run: everything about it but its answers, see ``RunHeader``, and its metrics."""

    @property
    def complete(self) -> bool:
        """Whether the run has finished."""
        return self.content.get("complete") is True


def read_run(run: Path, *, finished: bool = False) -> RunRecord:
    """Return the record of the run in the folder ``run``.

    Args:
        run: what ``vbench run`` has written.
        finished: refuse a run that did not finish.

    Raises:
        RunError: there is no such folder or no ``run.json`` in it, it is not JSON or of another schema version, or the
            run did not finish.
    """
    if not run.is_dir():
        raise RunError(f"{run}: no such run folder", "give a folder that vbench run has written")
    content = read_content(run)
    if content.get("schema_version") != SCHEMA_VERSION:
        raise version_error(run, content)
    record = RunRecord(run, content)
    if finished and not record.complete:
        raise RunError(f"{run}: the run did not finish", f"resume it: vbench run --resume {run}")
    return record


def read_content(run: Path) -> Mapping[str, Any]:
    """Return the content of the record in the folder ``run``, of whatever schema version.

    Raises:
        RunError: there is no ``run.json`` in it, or it is not a JSON object.
    """
    return _parse(run / RUN_FILE)


def version_error(run: Path, content: Mapping[str, Any]) -> RunError:
    """Return the error that the record of ``run`` has another schema version than the current one."""
    version = content.get("schema_version")
    if isinstance(version, int) and OLDEST_MIGRATED <= version < SCHEMA_VERSION:
        remedy = f"run vbench migrate {run}"
    elif isinstance(version, int) and version > SCHEMA_VERSION:
        remedy = "update vbench"
    else:
        remedy = "run it again with this version of vbench, or read it with the one that wrote it"
    return RunError(f"{run}: {RUN_FILE} has schema version {version}, known is {SCHEMA_VERSION}", remedy)


def is_run(folder: Path) -> bool:
    """Say whether a folder holds the record of a run, readable or not."""
    return (folder / RUN_FILE).exists()


def variant_runs(folder: Path) -> list[Path]:
    """Return the variants of one run that lie side by side in ``folder``; [] if it holds none, or is a run itself.

    Among variants, a run whose record cannot be read is one too: reading it will say why.
    """
    if is_run(folder):
        return []
    variants = {run: _variant(run) for run in runs_in(folder)}
    if not any(run.name == variant for run, variant in variants.items()):
        return []
    return [run for run, variant in variants.items() if variant in (run.name, None)]


def runs_in(folder: Path) -> list[Path]:
    """Return the run folders that lie in ``folder``, by name."""
    return sorted(file.parent for file in folder.glob(f"*/{RUN_FILE}"))


def _variant(run: Path) -> str | None:
    """Return the variant that a run is, "" if it is none; None if its record cannot be read."""
    try:
        return str(_parse(run / RUN_FILE).get("variant") or "")
    except RunError:
        return None


def _parse(file: Path) -> Mapping[str, Any]:
    hint = "is this a folder that vbench run has written?"
    if not file.is_file():
        raise RunError(f"{file.parent}: no {RUN_FILE} in it", hint)
    try:
        content = json.loads(file.read_bytes())
    except ValueError as error:
        # UnicodeDecodeError is a ValueError as well, so that binary rubbish ends here too.
        raise RunError(f"{file}: not valid JSON ({error})", hint) from None
    except OSError as error:
        raise RunError(f"{file}: cannot be read ({error.strerror})", hint) from None
    if not isinstance(content, dict):
        raise RunError(f"{file}: holds {_NAMES[type(content)]}, not an object", hint)
    return content
