"""Check results; an exception in one check does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

State = Literal["ok", "absent", "problem"]
_BUG = "report this as a vbench bug: the check itself failed"


class CheckResult(NamedTuple):
    """The result of one check. ``remedy`` says how to fix or install the item, as a command if possible."""

    state: State
    detail: str
    remedy: str = ""


class Finding(NamedTuple):
    """A check result with its topic and item."""

    topic: str
    what: str
    state: State
    detail: str
    remedy: str = ""


def ok(detail: str) -> CheckResult:
    """Return the result for an item that works."""
    return CheckResult("ok", detail)


def absent(detail: str, remedy: str = "") -> CheckResult:
    """Return the result for an optional item that is not available."""
    return CheckResult("absent", detail, remedy)


def problem(detail: str, remedy: str) -> CheckResult:
    """Return the result, with a remedy, for an item that does not work or that distorts measurements."""
    return CheckResult("problem", detail, remedy)


def findings(topic: str, checks: Mapping[str, Callable[[], CheckResult]]) -> list[Finding]:
    """Run every check; if one raises an exception, its finding reports the exception."""
    return [Finding(topic, what, *_result_of(check)) for what, check in checks.items()]


def run_check(topic: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    """Return the findings of a check; if it raises an exception, the only finding reports the exception."""
    try:
        return check()
    except Exception as error:
        return [Finding(topic, topic, "problem", first_line(error), _BUG)]


def first_line(error: BaseException) -> str:
    """Return the type of an exception and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__


def _result_of(check: Callable[[], CheckResult]) -> CheckResult:
    try:
        return check()
    except Exception as error:
        return problem(first_line(error), _BUG)
