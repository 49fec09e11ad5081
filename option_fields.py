"""Options declared as dataclass fields, with everything that a command line needs to offer them.

Each option is one field created by `option`. Commands take option objects: ``cli/common/options.py`` turns their fields
into command-line options, so adding an option to an engine, a stream or a data set means adding one field.
Fields without a declaration are internal: they appear on no command line and in no record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any

_KEY = "vbench.option"


@dataclass(frozen=True)
class OptionInfo:
    """Command-line description of a field.

    Attributes:
        help: a sentence that describes the option, without its legal values.
        values: returns the legal values from their registry; help, errors and completion list them.
        show_default: text shown for a derived default.
        flags: command-line names, where they differ from the field name.
        minimum: smallest legal number.
        parse: converts the command-line text to the value, if the field's type is not sufficient.
        metavar: placeholder of the value in the help.
        deprecated: former values that are still accepted, with their replacements.
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
    """Yield the declared options of a dataclass, in field order."""
    for each in fields(options):
        if _KEY in each.metadata:
            yield each, each.metadata[_KEY]


def flag_of(name: str, info: OptionInfo) -> str:
    """Return the command-line name of the field ``name``, such as ``--gate-threshold``."""
    return info.flags[0].partition("/")[0] if info.flags else f"--{name.replace('_', '-')}"


def option_record(options: Any) -> dict[str, Any]:
    """Return the declared options of an object by name, as JSON values."""
    values = {each.name: getattr(options, each.name) for each, _ in declared_options(type(options))}
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


def changed_options(options: Any) -> Mapping[str, Any]:
    """Return the declared options whose values differ from their defaults."""
    return {
        each.name: getattr(options, each.name)
        for each, _ in declared_options(type(options))
        if getattr(options, each.name) != each.default
    }
