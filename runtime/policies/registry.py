"""Policies as files: what ``vbench tune`` writes and ``vbench run --policy`` obeys.

A record of a policy is its ``kind`` and its numbers; a file holds one, with whatever its maker has to say beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from ...errors import UsageError
from ...files import whole_file
from .base import FrameExitPolicy, Policy
from .cascade import Cascade
from .rules import Confidence, Entropy, Everything, Fixed, Patience, Planned, Random

SCHEMA_VERSION = 1
_HINT = "give a file that vbench tune wrote"


@dataclass(frozen=True)
class _Frames:
    """A frame-flexible network at one count."""

    frames: int


_KINDS: dict[str, type] = {
    "frameexit": FrameExitPolicy,
    "confidence": Confidence,
    "entropy": Entropy,
    "patience": Patience,
    "fixed": Fixed,
    "random": Random,
    "planned": Planned,
    "everything": Everything,
    "cascade": Cascade,
    "frames": _Frames,
}


def policy_of(record: Mapping[str, Any], where: str) -> Policy:
    """Return the policy that a record stands for; ``where`` it came from is for the error.

    Raises:
        UsageError: it is none: unknown kind, a number that is missing, too many or out of range.
    """
    kind = record.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise UsageError(f"{where}: no policy of the kind {kind!r}", f"known are {', '.join(_KINDS)}")
    numbers = {name: value for name, value in record.items() if name != "kind"}
    unknown = set(numbers) - {field.name for field in fields(_KINDS[kind])}
    if unknown:
        raise UsageError(f"{where}: a policy of the kind {kind} has no {min(unknown)}", _HINT)
    try:
        found: object = TypeAdapter(_KINDS[kind]).validate_python(numbers)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UsageError(f"{where}: {kind}: {place}: {first['msg'].lower()}", _HINT) from None
    except UsageError as error:
        raise UsageError(f"{where}: {error.what}", error.hint) from None
    return Cascade((found.frames,)) if isinstance(found, _Frames) else cast(Policy, found)


def read_policy(path: Path) -> Policy:
    """Return the policy in a file.

    Raises:
        UsageError: there is no such file, it is no JSON, of another schema version, or holds no policy.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read, {error.strerror}", _HINT) from None
    except ValueError:
        raise UsageError(f"{path}: not readable as JSON", _HINT) from None
    if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
        raise UsageError(f"{path}: not a policy of schema version {SCHEMA_VERSION}", _HINT)
    record = content.get("policy")
    if not isinstance(record, dict):
        raise UsageError(f"{path}: holds no policy", _HINT)
    return policy_of(record, str(path))


def write_policy(path: Path, policy: Policy, about: Mapping[str, Any]) -> None:
    """Write a policy, with what there is to say ``about`` it, whole or not at all.

    Raises:
        MissingError, UsageError: it cannot be written.
    """
    content = {"schema_version": SCHEMA_VERSION, "policy": policy.record(), **about}
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
