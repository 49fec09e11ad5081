"""What the checks say, and how one that fails is kept from ending the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

State = Literal["ok", "absent", "problem"]
_OUR_FAULT = "this check itself failed; tell the authors of vbench"


class CheckResult(NamedTuple):
    """The state of one thing. ``remedy`` is what to do about it, or how to get it: a command where there is one."""

    state: State
    detail: str
    remedy: str = ""


class Finding(NamedTuple):
    """A fact and what it is about."""

    topic: str
    what: str
    state: State
    detail: str
    remedy: str = ""


def ok(detail: str) -> CheckResult:
    """Return the fact that something is as it should be."""
    return CheckResult("ok", detail)


def absent(detail: str, remedy: str = "") -> CheckResult:
    """Return the fact that something optional is not there."""
    return CheckResult("absent", detail, remedy)


def problem(detail: str, remedy: str) -> CheckResult:
    """Return the fact that something does not work, or makes measurements worse, with its remedy."""
    return CheckResult("problem", detail, remedy)


def findings(topic: str, checks: Mapping[str, Callable[[], CheckResult]]) -> list[Finding]:
    """Make every check; an exception in one is a trouble of its own and leaves the others alone."""
    return [Finding(topic, what, *_fact(check)) for what, check in checks.items()]


def run_check(topic: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    """Return what a check finds; where it raises, that is the finding."""
    try:
        return check()
    except Exception as error:
        return [Finding(topic, topic, "problem", first_line(error), _OUR_FAULT)]


def first_line(error: BaseException) -> str:
    """Return the kind of an exception and the first line of what it says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__


def _fact(check: Callable[[], CheckResult]) -> CheckResult:
    try:
        return check()
    except Exception as error:
        return problem(first_line(error), _OUR_FAULT)
