"""Registry of exit policies, and their (de)serialization as records and files.

A policy's record contains its ``kind`` and its parameters; a policy file contains one record and optional metadata.
``vbench tune`` writes policy files and ``vbench run --policy`` reads them. Sweeps and legends use the registry's order.
An installed package adds a policy through an entry point in the group ``vbench.policies``, named after its kind.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ...errors import UsageError
from ...files import whole_file
from ...json_file import first_problem, read_json
from ...registry import Registry
from .base import Grid, Policy
from .cascade import Cascade, FrameCount
from .gates import FrameExitPolicy
from .rules import Confidence, Entropy, Fixed, Patience, PerVideo, Random, RecordStates, RunAll

SCHEMA_VERSION = 1
_HINT = "pass a file written by vbench tune"

_BUILTIN: tuple[type[Policy], ...] = (
    FrameExitPolicy,
    Confidence,
    Entropy,
    Patience,
    Fixed,
    Random,
    PerVideo,
    RunAll,
    RecordStates,
    FrameCount,
    Cascade,
)
POLICIES: Registry[type[Policy]] = Registry("policy", {each.kind: each for each in _BUILTIN}, group="vbench.policies")


def grids_for(accepts: Callable[[type[Policy]], bool]) -> dict[str, Grid]:
    """Return the sweep grids of all policies for which ``accepts`` is true, by group name.

    Raises:
        UsageError: two policies define a group with the same name.
    """
    grids: dict[str, Grid] = {}
    for policy in filter(accepts, POLICIES.members().values()):
        for group, grid in policy.grids().items():
            if group in grids:
                raise UsageError(f"two policies define the sweep group {group!r}", f"rename the group of {policy.kind}")
            grids[group] = grid
    return grids


def check_servable(policy: Policy) -> None:
    """Raise UsageError if a server cannot run the policy."""
    if policy.not_servable:
        alike = [each for each in POLICIES.members().values() if each.selects_steps == policy.selects_steps]
        kinds = ", ".join(each.kind for each in alike if not each.not_servable)
        raise UsageError(f"a {policy.kind} policy {policy.not_servable}", f"choose one of {kinds}")


def policy_of(record: Mapping[str, Any], where: str) -> Policy:
    """Return the policy described by a record; error messages start with the record's origin, ``where``.

    Raises:
        UsageError: the record's kind is unknown, or a parameter is missing, unknown or out of range.
    """
    kind = record.get("kind") if isinstance(record, Mapping) else None
    if not isinstance(kind, str) or kind not in POLICIES:
        raise UsageError(f"{where}: unknown policy kind {kind!r}", f"choose one of {', '.join(POLICIES)}")
    policy = POLICIES.get(kind)
    numbers = {name: value for name, value in record.items() if name != "kind"}
    unknown = set(numbers) - {field.name for field in fields(policy)}  # type: ignore[arg-type]
    if unknown:
        raise UsageError(f"{where}: policy {kind} has no parameter {min(unknown)}", _HINT)
    try:
        return _adapter(policy).validate_python(numbers)
    except ValidationError as error:
        place, problem = first_problem(error)
        raise UsageError(f"{where}: {kind}: {place}: {problem.lower()}", _HINT) from None
    except UsageError as error:
        raise UsageError(f"{where}: {error.message}", error.hint) from None


@lru_cache
def _adapter(policy: type[Policy]) -> TypeAdapter[Policy]:
    return TypeAdapter(policy)


def read_policy(path: Path) -> Policy:
    """Return the policy stored in a file.

    Raises:
        UsageError: the file is missing, is not valid JSON, has a different schema version, or does not contain a
            policy.
    """
    content = read_json(path, UsageError, _HINT)
    if content.get("schema_version") != SCHEMA_VERSION:
        raise UsageError(f"{path} is not a policy of schema version {SCHEMA_VERSION}", _HINT)
    record = content.get("policy")
    if not isinstance(record, dict):
        raise UsageError(f"{path} does not contain a policy", _HINT)
    return policy_of(record, str(path))


def write_policy(path: Path, policy: Policy, about: Mapping[str, Any]) -> None:
    """Atomically write a policy with the metadata ``about``.

    Raises:
        MissingError, UsageError: the file cannot be written.
    """
    content = {"schema_version": SCHEMA_VERSION, "policy": policy.record(), **about}
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
