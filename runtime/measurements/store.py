"""``measurements.json`` in a bundle's folder: everything that was measured with the bundle, in one format.

The file is not part of the bundle: the bundle's digests do not cover it. It holds entries of several kinds. An entry
applies to one setup (bundle, engine, machine and so on), whose digest is its key, so a change of any of these leads to
a new measurement. A file that is missing, damaged or of another version counts as empty: measuring again costs less
than an error.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

from ...errors import BundleError, VbenchError
from ...files import whole_file
from ...json_file import read_json
from ..bundle.bundle import Bundle
from ..bundle.manifest import Manifest
from ..telemetry.environment import versions

FILE = "measurements.json"
_SCHEMA_VERSION = 2  # version 1 held only latencies, without a version number

Kind = Literal["latencies", "engines", "audits", "replicas"]
Entry = dict[str, Any]


class MeasurementStore:
    """Entries of ``measurements.json`` by kind and setup."""

    def __init__(self, bundle: Bundle[Manifest]) -> None:
        self.file = bundle.path / FILE

    def get(self, kind: Kind, setup: Mapping[str, Any]) -> Entry | None:
        """Return the entry for a setup, or None if there is none."""
        found = self._read(kind).get(_key(setup))
        return found if isinstance(found, dict) else None

    def entries(self, kind: Kind) -> list[Entry]:
        """Return all entries of a kind; each has its setup under ``measured_on``."""
        return [entry for entry in self._read(kind).values() if isinstance(entry, dict)]

    def put(self, kind: Kind, setup: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
        """Store an entry with its setup and the installed versions; return False if the folder is not writable."""
        content = self._content()
        kept = self._read(kind)
        added = {**entry, "measured_on": dict(setup), "versions": versions()}
        content = {**content, "schema_version": _SCHEMA_VERSION, kind: {**kept, _key(setup): added}}
        with suppress(OSError, VbenchError), whole_file(self.file) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
            return True
        return False

    def _read(self, kind: Kind) -> dict[str, Any]:
        found = self._content().get(kind)
        return found if isinstance(found, dict) else {}

    def _content(self) -> dict[str, Any]:
        try:
            content = read_json(self.file, BundleError, "measure again")
        except BundleError:
            return {}
        return content if content.get("schema_version") == _SCHEMA_VERSION else {}


def _key(setup: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(setup, sort_keys=True).encode()).hexdigest()[:16]
