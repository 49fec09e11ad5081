"""Reading ``run.json``: what is missing, foreign or half-written ends here, in one line that names the run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from ...errors import RunError

SCHEMA_VERSION = 3

_T = TypeVar("_T")


def read_record(run: Path) -> Mapping[str, object]:
    """Return the record of the finished run in the folder ``run``.

    Raises:
        RunError: there is no such folder or no ``run.json`` in it, it is not JSON or of an unknown schema version, or
            the run did not finish.
    """
    if not run.is_dir():
        raise RunError(f"{run}: no such run folder", "give a folder that vbench run has written")
    record = _parse(run / "run.json")
    version = record.get("schema_version")
    if version != SCHEMA_VERSION:
        raise RunError(
            f"{run}: run.json has schema version {version}, known is {SCHEMA_VERSION}",
            "read it with the vbench that wrote it, or update vbench",
        )
    if record.get("complete") is not True:
        raise RunError(f"{run}: the run did not finish", "resume it before plotting it")
    return record


def _parse(path: Path) -> Mapping[str, object]:
    hint = "is this a folder that vbench run has written?"
    if not path.is_file():
        raise RunError(f"{path.parent}: no run.json in it", hint)
    try:
        record = json.loads(path.read_bytes())
    except ValueError as error:
        # UnicodeDecodeError is a ValueError as well, so that binary rubbish ends here too.
        raise RunError(f"{path}: not valid JSON ({error})", hint) from None
    if not isinstance(record, dict):
        raise RunError(f"{path}: holds a {type(record).__name__}, not an object", hint)
    return record


def get(run: Path, record: Mapping[str, object], key: str, kind: type[_T]) -> _T:
    """Return the entry ``key``; raise RunError if it is not of that kind."""
    value = record.get(key)
    if not isinstance(value, kind):
        found = "missing" if key not in record else f"a {type(value).__name__}"
        raise RunError(f"{run}: run.json: {key!r} is {found}, not a {kind.__name__.lower()}", "run it again")
    return value


def number(run: Path, metrics: Mapping[str, object], key: str, within: str = "metrics") -> float:
    """Return the entry ``key`` of a run's metrics, or of a table ``within`` them.

    Raises:
        RunError: it is not a finite number.
    """
    value = metrics.get(key)
    # bool is an int in Python, and JSON as Python writes it may hold NaN.
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RunError(f"{run}: run.json: {within}.{key} is {value!r}, not a number", "run it again")
    return float(value)


def number_or_none(run: Path, metrics: Mapping[str, object], key: str, within: str = "metrics") -> float | None:
    """Return what ``number`` does, None where there is no such entry."""
    return None if metrics.get(key) is None else number(run, metrics, key, within)
