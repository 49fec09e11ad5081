"""Command-line options from option dataclasses: declared once, offered by every command that takes the object.

`takes` shows typer one parameter for each declared field (see ``option_fields.py``) and calls the command with whole
objects. Legal values are asked of their registry only when help is rendered, completion is asked for, or a value is
given, so that ``vbench --help`` imports and searches nothing.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import Field, dataclass, field, replace
from functools import wraps
from typing import Annotated, Any, NamedTuple, get_args, get_origin

import typer
from typer.core import TyperCommand
from typer.models import ParameterInfo

from ...errors import UsageError
from ...option_fields import OptionInfo, declared_options, flag_of
from ...registry import Registry
from .output import note

Values = Callable[[], Iterable[str]]
_VALUES = "option_values"


class Changed(NamedTuple):
    """How a command offers a field in another way than it is declared; what is None stays as it is."""

    default: Any = None
    help: str | None = None
    show_default: str | None = None
    flag: str | None = None


class OneOf(NamedTuple):
    """Legal values of an option of one command, as metadata of its annotation.

    Attributes:
        values: returns them.
        noun: what one is called in an error; "" where the command refuses others itself.
        several: several may be given, joined by commas.
    """

    values: Values
    noun: str = ""
    several: bool = False

    def check(self, given: str | None) -> None:
        """Raise UsageError unless ``given`` is legal."""
        if self.noun and given is not None:
            check_value(self.noun, given, self.values())

    def complete(self, incomplete: str) -> list[str]:
        """Return how a value may be completed on the command line."""
        before, comma, last = incomplete.rpartition(",") if self.several else ("", "", incomplete)
        return [before + comma + value for value in self.values() if value.startswith(last)]


@dataclass(frozen=True)
class Options:
    """The fields of an option dataclass that a command takes.

    Attributes:
        cls: the dataclass.
        prefix: what comes before the names of its fields, such as ``against`` in ``--against-device``.
        only: the fields to offer; None for all.
        without: fields that are not offered, and keep their default.
        changed: fields that are offered in another way, by name.
    """

    cls: type
    prefix: str = ""
    only: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()
    changed: Mapping[str, Changed] = field(default_factory=dict)

    def offered(self) -> Iterator[Offered]:
        """Yield the options of the command line, in the order of their declaration."""
        for each, info in declared_options(self.cls):
            if each.name not in self.without and (self.only is None or each.name in self.only):
                yield self._offered(each, info)

    def _offered(self, each: Field[Any], info: OptionInfo) -> Offered:
        change = self.changed.get(each.name, Changed())
        flags = () if self.prefix else info.flags
        info = replace(
            info,
            help=change.help or info.help,
            show_default=change.show_default or info.show_default,
            flags=(change.flag,) if change.flag else flags,
        )
        name = f"{self.prefix}_{each.name}" if self.prefix else each.name
        default = each.default if change.default is None else change.default
        return Offered(name, each.name, info, default, _kind(self.cls, each, info))


class Offered(NamedTuple):
    """An option of a command line: its parameter, the field that it fills, and the field's declaration and type."""

    name: str
    field: str
    info: OptionInfo
    default: Any
    kind: Any

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return flag_of(self.name, self.info)

    def parameter(self) -> inspect.Parameter:
        """Return what typer is shown; a value that typer cannot read is text to it."""
        info = self.info
        option = typer.Option(
            *(info.flags or (self.flag,)),
            help=info.help,
            min=info.minimum,
            metavar=info.metavar,
            show_default=info.show_default or True,
            autocompletion=None if info.values is None else OneOf(info.values).complete,
        )
        kind: Any = self.kind if self._reader() is None else str | None
        annotation: Any = Annotated[kind, option]
        return inspect.Parameter(self.name, inspect.Parameter.KEYWORD_ONLY, default=self.default, annotation=annotation)

    def value(self, given: Any) -> Any:
        """Return the field's value from the one that typer gives.

        Raises:
            UsageError: it is not among the legal ones, or cannot be read.
        """
        if given is None or given == self.default:
            return given
        given = self._current(given)
        if self.info.values is not None:
            check_value(self.field, given, self.info.values())
        read = self._reader()
        return given if read is None else read(given)

    def _current(self, given: Any) -> Any:
        now = (self.info.deprecated or {}).get(given) if isinstance(given, str) else None
        if now is None:
            return given
        note(f"{self.flag} {given} is deprecated: give {self.flag} {now}")
        return now

    def _reader(self) -> Callable[[str], Any] | None:
        if self.info.parse is not None:
            return self.info.parse
        item = next((get_args(each)[0] for each in get_args(self.kind) if get_origin(each) is tuple), None)
        return None if item is None else lambda text: numbers(self.flag, text, item)


def takes(**groups: type | Options) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Call a command with option objects, by keyword-only parameter; typer is shown the fields of their classes.

    Called from Python, the command takes these fields too. Values of options that are `OneOf` some are checked.
    """
    options = {name: given if isinstance(given, Options) else Options(given) for name, given in groups.items()}
    offered = {name: tuple(each.offered()) for name, each in options.items()}

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        signature = _signature(function, offered)
        own = {name: one_of for name, each in signature.parameters.items() if (one_of := _one_of(each))}

        @wraps(function)
        def command(*args: Any, **kwargs: Any) -> None:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            given = bound.arguments
            for name, one_of in own.items():
                one_of.check(given[name])
            # A field may be called as the parameter of its object, so all fields are taken out before objects go in.
            values = {name: {each.field: given.pop(each.name) for each in fields} for name, fields in offered.items()}
            function(**given, **{name: _object(options[name].cls, offered[name], values[name]) for name in offered})

        # without the way to the function, whose annotations typer would read instead
        del command.__wrapped__
        command.__signature__ = signature  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in signature.parameters.values()}
        values = {each.name: each.info.values for fields in offered.values() for each in fields}
        setattr(command, _VALUES, {**values, **{name: one_of.values for name, one_of in own.items()}})
        return command

    return decorate


class Command(TyperCommand):
    """A command whose help lists the legal values of its options, as their registries know them at that time."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Render the help."""
        known: dict[str | None, Values | None] = getattr(self.callback, _VALUES, {})
        for parameter in self.params:
            values = known.get(parameter.name)
            if values is not None and " One of: " not in parameter.help:  # type: ignore[attr-defined]
                parameter.help += f" One of: {', '.join(values())}."  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)


def check_value(name: str, given: object, values: Iterable[str]) -> None:
    """Raise UsageError unless ``given`` is among the legal values of the option ``name``."""
    names = tuple(values)
    if given not in names:
        noun = values.noun if isinstance(values, Registry) else name.replace("_", " ")
        raise UsageError(f"there is no {noun} {given!r}", f"choose one of {', '.join(names)}")


def numbers(flag: str, text: str, kind: type) -> tuple[Any, ...]:
    """Return the numbers of that kind, int or float, that were given joined by commas.

    Raises:
        UsageError: one of them is no such number.
    """
    try:
        return tuple(kind(number) for number in text.split(","))
    except ValueError:
        if kind is int:
            what, hint = "a whole number", "give one, or several joined by commas"
        else:
            what, hint = "a number", "give one, or one each joined by commas"
        raise UsageError(f"{flag} {text}: not {what}", hint) from None


def frame_counts(text: str) -> tuple[int, ...]:
    """Return the frame counts that were given with ``--frames``; see `numbers`."""
    return numbers("--frames", text, int)


def _object(cls: type, fields: Iterable[Offered], given: Mapping[str, Any]) -> Any:
    return cls(**{each.field: each.value(given[each.field]) for each in fields})


def _signature(function: Callable[..., None], offered: Mapping[str, tuple[Offered, ...]]) -> inspect.Signature:
    """Return the function's signature with the options in the place of their objects."""
    own = inspect.signature(function, eval_str=True).parameters.values()
    for each in own:
        if one_of := _one_of(each):
            _metadata(each, ParameterInfo).autocompletion = one_of.complete
    return inspect.Signature(
        [
            new
            for each in own
            for new in ([o.parameter() for o in offered[each.name]] if each.name in offered else [each])
        ]
    )


def _one_of(parameter: inspect.Parameter) -> OneOf | None:
    found: OneOf | None = _metadata(parameter, OneOf)
    return found


def _metadata(parameter: inspect.Parameter, kind: type) -> Any:
    return next((each for each in getattr(parameter.annotation, "__metadata__", ()) if isinstance(each, kind)), None)


def _kind(cls: type, each: Field[Any], info: OptionInfo) -> Any:
    """Return the type of a field; one that is read from text may be of a type that is not even imported."""
    if info.parse is not None or not isinstance(each.type, str):
        return each.type
    return eval(each.type, vars(sys.modules[cls.__module__]))
