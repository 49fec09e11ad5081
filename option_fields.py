"""Options as fields of a dataclass: declared once, with all that a command line needs to offer them.

An option is one field made by `option`. Commands take whole option objects: ``cli/common/options.py`` turns the fields
into command-line options, so that a new option of an engine, a stream or a data set is one field and nothing else.
Fields without a declaration are internal: no command line offers them and no record holds them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any

_KEY = "vbench.option"


@dataclass(frozen=True)
class OptionInfo:
    """How a command line offers a field.

    Attributes:
        help: what it does, a sentence without the legal values.
        values: returns the legal values, from the registry that knows them; they are listed in the help, in errors and
            in completion.
        show_default: what to show for a default that is derived.
        flags: names on the command line, where they differ from the field's.
        minimum: least legal number.
        parse: makes the value of the text that was given, where that takes more than the field's type says.
        metavar: what stands for the value in the help.
        deprecated: former values that are still accepted, and what they are called now.
    """

    help: str
    values: Callable[[], Iterable[str]] | None = None
    show_default: str | None = None
    flags: tuple[str, ...] = ()
    minimum: int | None = None
    parse: Callable[[str], Any] | None = None
    metavar: str | None = None
    deprecated: Mapping[str, str] | None = None


def option(
    help: str,
    *,
    default: Any = MISSING,
    values: Callable[[], Iterable[str]] | None = None,
    show_default: str | None = None,
    flags: tuple[str, ...] = (),
    minimum: int | None = None,
    parse: Callable[[str], Any] | None = None,
    metavar: str | None = None,
    deprecated: Mapping[str, str] | None = None,
    kw_only: bool = False,
) -> Any:
    """Declare a field of an options dataclass; see `OptionInfo`."""
    info = OptionInfo(help, values, show_default, flags, minimum, parse, metavar, deprecated)
    return field(default=default, metadata={_KEY: info}, kw_only=kw_only)


def declared_options(options: type) -> Iterator[tuple[Field[Any], OptionInfo]]:
    """Yield the declared options of a dataclass, in order."""
    for each in fields(options):
        if _KEY in each.metadata:
            yield each, each.metadata[_KEY]


def flag_of(name: str, info: OptionInfo) -> str:
    """Return what the field ``name`` is called on the command line, such as ``--gate-threshold``."""
    return info.flags[0].partition("/")[0] if info.flags else f"--{name.replace('_', '-')}"


def option_record(options: Any) -> dict[str, Any]:
    """Return the declared options of an object as JSON."""
    found = {each.name: getattr(options, each.name) for each, _ in declared_options(type(options))}
    return {name: str(value) if isinstance(value, Path) else value for name, value in found.items()}


def changed_options(options: Any) -> Mapping[str, Any]:
    """Return the declared options that differ from their default."""
    return {
        each.name: getattr(options, each.name)
        for each, _ in declared_options(type(options))
        if getattr(options, each.name) != each.default
    }
