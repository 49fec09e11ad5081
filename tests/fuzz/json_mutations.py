"""Structure-aware mutations of JSON documents: the result is bytes, as some of them no JSON library would write."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, NamedTuple

CONTROL = ("\x1b[31mred\x1b[0m", "a\nb", "a\rb", "\x00", "\x07", "\x7f", "\x9b2J", "\u2028", "\u202e", "\t")
STRINGS = (
    *CONTROL,
    "",
    " ",
    ".",
    "..",
    "../../outside/secret",
    "/etc/passwd",
    "x" * 300,
    "x" * 70_000,
    "\ud800",
    "\ufffe",
    "nan",
    "NaN",
    "1",
    "None",
    "café",
    "[red]",
    "%s",
    "{0}",
    "$x$",
)
RAW = (
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "-1",
    "0",
    "-0.0",
    "1e308",
    "1.5",
    "9223372036854775808",
    "99999999999999999999999999",
    "1" + "0" * 400,
    "1" * 5000,
    "true",
    "false",
    "null",
    "[]",
    "{}",
    "[[]]",
    '[{"": []}]',
    "[" * 400 + "]" * 400,
    "[" * 100_000 + "]" * 100_000,
    '{"a":' * 5000 + "1" + "}" * 5000,
)


class Mutated(NamedTuple):
    """The bytes of the document, and the mutation in words; ``structural`` unless bytes were damaged."""

    data: bytes
    what: str
    structural: bool = True


class _Place(NamedTuple):
    holder: Any
    key: Any

    @property
    def value(self) -> Any:
        return self.holder[self.key]

    def __str__(self) -> str:
        return f"{self.key!r}"


def mutate_json(rng: Random, document: Any, indent: int | None = None) -> Mutated:
    """Return a copy of ``document`` with one to three mutations."""
    if rng.random() < 0.1:
        return damage_text(rng, json.dumps(document, indent=indent))
    holder = [copy.deepcopy(document)]
    raw: dict[str, str] = {}
    said = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        place = rng.choice(list(_places(holder)))
        said.append(rng.choice(_OPERATIONS)(rng, place, raw))
    return Mutated(_dumps(holder[0], raw, indent), ", ".join(said))


def damage_text(rng: Random, text: str) -> Mutated:
    """Return a text cut off, in another encoding, or with other bytes in it."""
    data = text.encode("utf-8", "surrogatepass")
    kind = rng.randrange(6)
    if kind == 0:
        cut = rng.randrange(len(data))
        return Mutated(data[:cut], f"cut off at byte {cut}", False)
    if kind == 1:
        encoding = rng.choice(("utf-16", "utf-32", "utf-8-sig", "latin-1"))
        return Mutated(text.encode(encoding, "replace"), f"written as {encoding}", False)
    if kind == 2:
        return Mutated(rng.randbytes(rng.choice((0, 1, 100, 5000))), "random bytes", False)
    place = rng.randrange(len(data) + 1)
    junk = rng.choice(
        (b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"}", b"]", b",", b'"', b"\\u", b"\x1b[2J", b"//", data[:50])
    )
    return Mutated(data[:place] + junk + data[place + rng.randrange(3) :], f"{junk[:8]!r} at byte {place}", False)


def other_value(rng: Random, raw: dict[str, str]) -> Any:
    """Return a hostile value; a literal that json cannot write is a placeholder, added to ``raw``."""
    if rng.random() < 0.4:
        return rng.choice(STRINGS)
    key = f"@raw{len(raw)}@"
    raw[key] = rng.choice(RAW)
    return key


def _places(holder: Any) -> Iterator[_Place]:
    keys = range(len(holder)) if isinstance(holder, list) else list(holder)
    for key in keys:
        yield _Place(holder, key)
        if isinstance(holder[key], dict | list):
            yield from _places(holder[key])


def _replace(rng: Random, place: _Place, raw: dict[str, str]) -> str:
    place.holder[place.key] = value = other_value(rng, raw)
    return f"{place} is {raw.get(value, value)[:20]!r}"


def _remove(rng: Random, place: _Place, raw: dict[str, str]) -> str:
    if isinstance(place.holder, dict):
        del place.holder[place.key]
        return f"no {place}"
    return _replace(rng, place, raw)


def _duplicate(rng: Random, place: _Place, raw: dict[str, str]) -> str:
    if isinstance(place.holder, list):
        place.holder.insert(place.key, copy.deepcopy(place.value))
        return f"item {place} twice"
    key = f"@raw{len(raw)}@"
    raw[key] = f"{json.dumps(place.value)}, {json.dumps(place.key)}: {rng.choice(RAW[:10])}"
    place.holder[place.key] = key
    return f"key {place} twice"


def _rename(rng: Random, place: _Place, raw: dict[str, str]) -> str:
    if isinstance(place.holder, dict):
        name = rng.choice(STRINGS)
        place.holder[name] = place.holder.pop(place.key)
        return f"{place} named {name[:20]!r}"
    return _replace(rng, place, raw)


def _extra(rng: Random, place: _Place, raw: dict[str, str]) -> str:
    value = place.value
    if isinstance(value, dict):
        value[rng.choice(STRINGS)] = other_value(rng, raw)
        return f"another key in {place}"
    if isinstance(value, list):
        value.insert(rng.randrange(len(value) + 1), other_value(rng, raw))
        return f"another item in {place}"
    return _number(rng, place, raw)


def _number(rng: Random, place: _Place, raw: dict[str, str]) -> str:
    value = place.value
    if isinstance(value, int | float) and not isinstance(value, bool):
        place.holder[place.key] = rng.choice(
            (value + 1, value - 1, -value, value * 1000, value / 3, float(value), str(value))
        )
        return f"{place} is {place.value!r}"
    return _replace(rng, place, raw)


def _empty(rng: Random, place: _Place, raw: dict[str, str]) -> str:
    if isinstance(place.value, dict | list):
        place.holder[place.key] = type(place.value)()
        return f"{place} is empty"
    return _replace(rng, place, raw)


def _swap(rng: Random, place: _Place, raw: dict[str, str]) -> str:
    if isinstance(place.holder, dict) and len(place.holder) > 1:
        other = rng.choice([key for key in place.holder if key != place.key])
        place.holder[place.key], place.holder[other] = place.holder[other], place.value
        return f"{place} and {other!r} swapped"
    return _replace(rng, place, raw)


_OPERATIONS: tuple[Callable[[Random, _Place, dict[str, str]], str], ...] = (
    _replace,
    _replace,
    _replace,
    _remove,
    _duplicate,
    _rename,
    _extra,
    _number,
    _number,
    _empty,
    _swap,
)


def _dumps(document: Any, raw: dict[str, str], indent: int | None) -> bytes:
    text = json.dumps(document, indent=indent)
    for key, literal in reversed(raw.items()):
        text = text.replace(json.dumps(key), literal)
    return text.encode("utf-8", "surrogatepass")
