"""Read JSON that may be damaged or malicious; all JSON that vbench reads goes through this module.

Python's parser recurses once per level and accepts input that is not valid JSON: NaN, infinity and repeated keys (the
last one wins). This module rejects such input, and limits size, depth and the range of numbers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import VbenchError
from .input_files import open_file
from .text import printable

if TYPE_CHECKING:
    from pydantic import ValidationError

MAX_BYTES = 64 << 20
MAX_DEPTH = 64  # vbench's own files have fewer than 10 levels
_INTEGERS = range(-(2**63), 2**63)  # no table can store larger ones, and a float cannot represent all of them
_SHOWN = 40

ObjectHook = Callable[[dict[str, Any]], Any]
MakeError = Callable[[str, str], VbenchError]


class JsonError(ValueError):
    """JSON that is invalid or exceeds a limit; the message is a predicate such as ``is not valid JSON (...)``."""


def read_json(path: Path, error: MakeError, hint: str) -> dict[str, Any]:
    """Return the JSON object in a file.

    Args:
        path: the file.
        error: class of the error to raise.
        hint: the remedy that the error states.

    Raises:
        VbenchError: the file is missing, is not a regular file or is too large, or does not contain a valid JSON
            object.
    """
    try:
        content = parse_json(_read(path))
    except JsonError as found:
        raise error(f"{path} {found}", hint) from None
    except OSError as found:
        raise error(f"cannot read {path}: {found.strerror}", hint) from None
    if not isinstance(content, dict):
        raise error(f"{path} holds {type_name(content)}, not an object", hint)
    return content


def parse_json(content: bytes | str, object_hook: ObjectHook | None = None) -> Any:
    """Parse a JSON document.

    Args:
        content: the text, or its bytes in UTF-8, UTF-16 or UTF-32.
        object_hook: function that converts each object.

    Raises:
        JsonError: the document is not valid, or is nested too deeply.
    """

    def make_object(pairs: list[tuple[str, Any]]) -> Any:
        value = dict(pairs)
        if len(value) < len(pairs):
            keys = [key for key, _ in pairs]
            repeated = next(key for key in keys if keys.count(key) > 1)
            raise JsonError(f"is not valid JSON (the key {repeated[:_SHOWN]!r} is repeated in one object)")
        return value if object_hook is None else object_hook(value)

    try:
        text = content if isinstance(content, str) else content.decode(json.detect_encoding(content))
        parsed = json.loads(
            text.removeprefix("\ufeff"),
            object_pairs_hook=make_object,
            parse_constant=_reject,
            parse_float=_finite,
            parse_int=_integer,
        )
    except RecursionError:
        raise _too_deep() from None
    except JsonError:
        raise
    except UnicodeDecodeError:
        raise JsonError("is not valid JSON (it is not text)") from None
    except ValueError as error:
        raise JsonError(f"is not valid JSON ({error})") from None
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(parsed)
    return parsed


def first_problem(error: ValidationError) -> tuple[str, str]:
    """Return the location of the first problem that a schema found, such as ``costs.macs.0``, and its description."""
    first = error.errors()[0]
    return printable(".".join(map(str, first["loc"]))), first["msg"]


def type_name(value: object) -> str:
    """Return the JSON type of a value with its article, such as ``a list``."""
    names: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (bool, "a boolean"),  # first, being a subclass of int
        (dict, "an object"),
        (list, "a list"),
        (str, "a string"),
        (int, "an integer"),
        (float, "a number"),
    )
    return next((name for kind, name in names if isinstance(value, kind)), "null")


def _read(path: Path) -> bytes:
    with open_file(path) as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise JsonError(f"is larger than {MAX_BYTES >> 20} MiB")
    return content


def _check_depth(value: Any) -> None:
    level, depth = [value], 0
    while level := [
        child
        for each in level
        if isinstance(each, dict | list)
        for child in (each.values() if isinstance(each, dict) else each)
        if isinstance(child, dict | list)
    ]:
        depth += 1
        if depth >= MAX_DEPTH:
            raise _too_deep()


def _too_deep() -> JsonError:
    return JsonError(f"is nested more than {MAX_DEPTH} levels deep")


def _reject(constant: str) -> float:
    raise JsonError(f"is not valid JSON (it contains {constant})")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _out_of_range(text)
    return value


def _integer(text: str) -> int:
    if len(text) > _SHOWN or int(text) not in _INTEGERS:
        raise _out_of_range(text)
    return int(text)


def _out_of_range(text: str) -> JsonError:
    return JsonError(f"is not valid JSON (the number {text[:_SHOWN]} is out of range)")
