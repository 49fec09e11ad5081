"""Settings of a served network, ``policy.json``: written by ``vbench package``, read by the server."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ....errors import BundleError
from ....json_file import read_json

Scheduling = Literal["inflight", "lockstep"]
SETTINGS = "policy.json"
SCHEMA_VERSION = 2
_HINT = "write the repository again with vbench package"


@dataclass(frozen=True)
class ServedSettings:
    """How a network is served.

    Attributes:
        policy: record of the policy for requests without parameters.
        parameters: request parameters that may replace parts of that policy.
        choice: record of the `PolicyChoice` that the parameters complete.
        schedule: ``inflight``: a clip starts as soon as a slot is free; ``lockstep``: clips start together.
        slots: clips that run at the same time.
        rows: largest batch of a call to a part.
        limit_s: time after which a request that has no answer fails.
        models: name of the model that runs each part, by part.
    """

    policy: Mapping[str, Any]
    parameters: tuple[str, ...]
    choice: Mapping[str, Any]
    schedule: Scheduling
    slots: int
    rows: int
    limit_s: float
    models: Mapping[str, str]

    def text(self) -> str:
        """Return the contents of the file."""
        return json.dumps({"schema_version": SCHEMA_VERSION, **asdict(self)}, indent=1) + "\n"


def read_settings(path: Path) -> ServedSettings:
    """Return the settings stored in a file.

    Raises:
        BundleError: the file is missing, was written by another version of vbench, or has an invalid value.
    """
    content = read_json(path, BundleError, _HINT)
    version = content.pop("schema_version", None)
    if version != SCHEMA_VERSION:
        raise BundleError(f"{path} has schema version {version!r}, not {SCHEMA_VERSION}", _HINT)
    try:
        settings = ServedSettings(**{**content, "parameters": tuple(content["parameters"])})
    except (KeyError, TypeError):
        raise BundleError(f"{path} does not have the fields of schema version {SCHEMA_VERSION}", _HINT) from None
    if wrong := _wrong_field(settings):
        raise BundleError(f"{path} has an invalid {wrong}: {getattr(settings, wrong)!r}", _HINT)
    return settings


def _wrong_field(settings: ServedSettings) -> str:
    """Return the name of a field with an invalid value, or ""."""
    valid = {
        "schedule": settings.schedule in get_args(Scheduling),
        "slots": _is_count(settings.slots),
        "rows": _is_count(settings.rows),
        "limit_s": type(settings.limit_s) in (int, float) and 0 < settings.limit_s < math.inf,
        "models": isinstance(settings.models, dict)
        and bool(settings.models)
        and all(isinstance(name, str) for name in settings.models.values()),
        "parameters": all(isinstance(name, str) for name in settings.parameters),
        "policy": isinstance(settings.policy, dict),
        "choice": isinstance(settings.choice, dict),
    }
    return next((name for name, is_valid in valid.items() if not is_valid), "")


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 1
