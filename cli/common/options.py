"""Command-line options generated from option dataclasses, declared once and shared by commands.

`takes` declares one typer parameter per field (see ``option_fields.py``) and calls the command with complete option
objects. Registries are queried for legal values only for help, completion or a given value, so ``vbench --help``
imports nothing.
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
    """Overrides of a field's declaration in one command; None keeps the declared value."""

    default: Any = None
    help: str | None = None
    show_default: str | None = None
    flag: str | None = None
    values: Values | None = None


class OneOf(NamedTuple):
    """Legal values of a command's own option, as annotation metadata.

    Attributes:
        values: function that returns them.
        noun: noun for a value in an error message; "" if the command validates the value itself.
        several: whether several values may be given, separated by commas.
    """

    values: Values
    noun: str = ""
    several: bool = False

    def check(self, given: str | None) -> None:
        """Raise UsageError unless ``given`` is legal."""
        if self.noun and given is not None:
            check_value(self.noun, given, self.values())

    def complete(self, incomplete: str) -> list[str]:
        """Return the completions of a partial value."""
        before, comma, last = incomplete.rpartition(",") if self.several else ("", "", incomplete)
        return [before + comma + value for value in self.values() if value.startswith(last)]


@dataclass(frozen=True)
class Options:
    """The fields of an option dataclass that a command takes.

    Attributes:
        cls: the dataclass.
        prefix: prefix of the option names, such as ``against`` in ``--against-device``.
        only: fields to offer; None for all.
        without: fields not offered, which keep their default.
        changed: overridden declarations, by field name.
    """

    cls: type
    prefix: str = ""
    only: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()
    changed: Mapping[str, Changed] = field(default_factory=dict)

    def offered(self) -> Iterator[Offered]:
        """Yield the command-line options in declaration order."""
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
            values=change.values or info.values,
        )
        name = f"{self.prefix}_{each.name}" if self.prefix else each.name
        default = each.default if change.default is None else change.default
        return Offered(name, each.name, info, default, _kind(self.cls, each, info))


class Offered(NamedTuple):
    """A command-line option: parameter name, target field, and the field's declaration and type."""

    name: str
    field: str
    info: OptionInfo
    default: Any
    kind: Any

    @property
    def flag(self) -> str:
        """Name of the option on the command line."""
        return flag_of(self.name, self.info)

    def parameter(self) -> inspect.Parameter:
        """Return the parameter declared to typer; types that typer cannot parse are declared as text."""
        info = self.info
        option = typer.Option(
            *(info.flags or (self.flag,)),
            help=info.help,
            min=info.minimum,
            metavar=info.metavar,
            show_default=info.show_default or True,
            autocompletion=None if info.values is None else OneOf(info.values).complete,
        )
        kind: Any = self.kind if self._parser() is None else str | None
        annotation: Any = Annotated[kind, option]
        return inspect.Parameter(self.name, inspect.Parameter.KEYWORD_ONLY, default=self.default, annotation=annotation)

    def value(self, given: Any) -> Any:
        """Convert the value received from typer to the field's value.

        Raises:
            UsageError: the value is not legal or cannot be parsed.
        """
        if given is None or given == self.default:
            return given
        given = self._replace_deprecated(given)
        if self.info.values is not None:
            check_value(self.field, given, self.info.values())
        parse = self._parser()
        return given if parse is None else parse(given)

    def _replace_deprecated(self, given: Any) -> Any:
        current = (self.info.deprecated or {}).get(given) if isinstance(given, str) else None
        if current is None:
            return given
        note(f"{self.flag} {given} is deprecated: use {self.flag} {current}")
        return current

    def _parser(self) -> Callable[[str], Any] | None:
        if self.info.parse is not None:
            return self.info.parse
        item = next((get_args(each)[0] for each in get_args(self.kind) if get_origin(each) is tuple), None)
        return None if item is None else lambda text: numbers(self.flag, text, item)


def takes(**groups: type | Options) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a command to receive option objects as keyword-only parameters; typer sees their fields instead.

    Python callers pass the fields, too. The values of options annotated with `OneOf` are checked.
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
            # A field may have the same name as its object's parameter, so remove all fields before adding objects.
            values = {name: {each.field: given.pop(each.name) for each in fields} for name, fields in offered.items()}
            function(**given, **{name: _object(options[name].cls, offered[name], values[name]) for name in offered})

        # otherwise typer would read the annotations of the wrapped function
        del command.__wrapped__
        command.__signature__ = signature  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in signature.parameters.values()}
        values = {each.name: each.info.values for fields in offered.values() for each in fields}
        setattr(command, _VALUES, {**values, **{name: one_of.values for name, one_of in own.items()}})
        return command

    return decorate


def require_alone(context: typer.Context, name: str, permitted: tuple[str, ...]) -> None:
    """Raise UsageError if ``--name`` was combined with arguments other than ``permitted``, which it would ignore."""
    sources = {each: context.get_parameter_source(each) for each in context.params if each not in (name, *permitted)}
    given = [each for each, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if given:
        option = "a bundle" if given[0] == "bundle" else f"--{given[0].replace('_', '-')}"
        what = f"--{name} keeps the options that it was started with and cannot be combined with {option}"
        raise UsageError(what, "omit it")


class Command(TyperCommand):
    """A command whose help lists the legal values of its options, read from their registries when rendered."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Append the legal values to the option help, then render it."""
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
        raise UsageError(f"unknown {noun} {given!r}", f"choose one of {', '.join(names)}")


def numbers(flag: str, text: str, kind: type) -> tuple[Any, ...]:
    """Parse numbers of type ``kind``, int or float, separated by commas.

    Raises:
        UsageError: one of them is not such a number.
    """
    try:
        return tuple(kind(number) for number in text.split(","))
    except ValueError:
        if kind is int:
            expected, hint = "an integer", "pass one number, or several separated by commas"
        else:
            expected, hint = "a number", "pass one, or one for each, separated by commas"
        raise UsageError(f"{flag} {text} is not {expected}", hint) from None


def frame_counts(text: str) -> tuple[int, ...]:
    """Parse the value of ``--frames``; see `numbers`."""
    return numbers("--frames", text, int)


def _object(cls: type, fields: Iterable[Offered], given: Mapping[str, Any]) -> Any:
    return cls(**{each.field: each.value(given[each.field]) for each in fields})


def _signature(function: Callable[..., None], offered: Mapping[str, tuple[Offered, ...]]) -> inspect.Signature:
    """Return the function's signature with option objects replaced by their options."""
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
    """Return the type of a field; the type of a field parsed from text need not be importable."""
    if info.parse is not None or not isinstance(each.type, str):
        return each.type
    return eval(each.type, vars(sys.modules[cls.__module__]))
