"""The exit policy of a request: the repository's own, or one changed by the request's parameters."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from typing import Any

from ....errors import BundleError, UsageError
from ....runtime.bundle.manifest import Manifest
from ....runtime.families import family_of
from ....runtime.policies.base import Policy
from ....runtime.policies.choice import PolicyChoice
from ....runtime.policies.registry import policy_of
from .settings import SETTINGS, ServedSettings


class RequestPolicies:
    """Resolves the parameters of requests, as ``vbench run`` resolves its options."""

    def __init__(self, manifest: Manifest, settings: ServedSettings) -> None:
        """Read the default policy.

        Raises:
            UsageError, BundleError: the settings contain no valid policy for the network.
        """
        self._manifest, self._family = manifest, family_of(manifest)
        self._allowed = settings.parameters
        try:
            self._choice = PolicyChoice.from_record(settings.choice, SETTINGS)
        except (KeyError, TypeError, ValueError):
            raise BundleError(f"{SETTINGS} has an invalid choice", "write the repository again") from None
        policy = policy_of(settings.policy, SETTINGS)
        self.default = self._family.resolve(manifest, PolicyChoice(policy=policy)).policy

    def policy_for(self, parameters: Mapping[str, Any]) -> Policy:
        """Return the policy that a request's parameters select; parameters of servers and clients are ignored.

        Raises:
            UsageError: a parameter does not apply to the network, looks like a misspelled one, or has an invalid value.
        """
        for name in parameters:
            _check_name(name)
        given = {name: value for name, value in parameters.items() if name in _FIELDS}
        if not given:
            return self.default
        for name in given:
            if name not in self._allowed:
                allowed = " or ".join(self._allowed)
                raise UsageError(
                    f"the parameter {name} does not apply to this model, whose policy is {self.default.kind}",
                    f"pass {allowed}" if allowed else "omit it",
                )
        changes = {_FIELDS[name][0]: _FIELDS[name][1](name, value) for name, value in given.items()}
        choice = replace(self._choice, **changes)
        return self._family.resolve(self._manifest, choice).policy


def _check_name(name: str) -> None:
    """Refuse a name that was probably meant for vbench: another option of the policy, or a misspelled parameter."""
    if name in _FIELDS:
        return
    meant = get_close_matches(name, _FIELDS, n=1, cutoff=_SIMILAR)
    if meant or name in _OTHER_OPTIONS:
        hint = f"did you mean {meant[0]}?" if meant else f"pass {' or '.join(_FIELDS)}"
        raise UsageError(f"there is no parameter {name}", hint)


def parameters_of(text: str) -> dict[str, Any]:
    """Return a request's parameters, given as JSON by the server; numbers may be JSON numbers or strings."""
    return dict(json.loads(text)) if text else {}


def _number(name: str, value: Any) -> float:
    numbers = _numbers(name, value)
    if len(numbers) != 1:
        raise UsageError(f"the parameter {name} takes 1 number, got {len(numbers)}", "pass one number")
    return numbers[0]


def _numbers(name: str, value: Any) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in str(value).split(","))
    except ValueError:
        raise UsageError(f"the parameter {name} is {value!r}, which is not a number", "pass a number") from None


def _counts(name: str, value: Any) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in str(value).split(","))
    except ValueError:
        raise UsageError(f"the parameter {name} is {value!r}, which is not an integer", "pass an integer") from None


_SIMILAR = 0.8  # of the ratio of equal characters
_OTHER_OPTIONS = frozenset(each.name for each in fields(PolicyChoice))
_Parse = Callable[[str, Any], Any]
# Each parameter's field of PolicyChoice, and the function that parses its value.
_FIELDS: Mapping[str, tuple[str, _Parse]] = {
    "first_threshold": ("first_threshold", _number),
    "gate_threshold": ("gate_thresholds", _numbers),
    "frames": ("frames", _counts),
    "cascade": ("cascade", _number),
}
