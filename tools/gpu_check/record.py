"""The record of a check: Markdown for people and JSON for programs, both written atomically.

The JSON keeps the raw measurements, from which every derived number in the tables can be recomputed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tools.bench.measure import table
from vbench.files import whole_file
from vbench.runtime.doctor.finding import Finding

from .contenders import Absent
from .machine import slug, without_folders
from .section import Section
from .settings import Settings

_ESCAPED = str.maketrans({"|": "\\|", "\n": " "})


@dataclass(frozen=True)
class Record:
    """Results of one check; incomplete until the last of the ``planned`` sections ends.

    ``device`` is the GPU's name; ``bundle`` describes the network.
    """

    date: str
    device: str
    command: str
    bundle: str
    versions: dict[str, str]
    settings: Settings
    findings: tuple[Finding, ...]
    absent: tuple[Absent, ...]
    planned: tuple[str, ...]
    sections: tuple[Section, ...] = ()

    def as_json(self) -> str:
        """Return the record as JSON."""
        plain: dict[str, Any] = {
            **asdict(self),
            "findings": [one._asdict() for one in self.findings],
            "absent": [one._asdict() for one in self.absent],
            "sections": [_plain(section) for section in self.sections],
        }
        return json.dumps(_clean(plain), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def as_markdown(self) -> str:
        """Return the record as Markdown."""
        parts = [f"# GPU check: {self.device}, {self.date}\n", *self._setup()]
        parts += _listed("Absent contenders", [[one.contender, one.why] for one in self.absent])
        for section in self.sections:
            parts += [
                part for shown in section.tables for part in _titled(shown.title, shown.note, shown.head, shown.rows)
            ]
        failed = [list(failure) for section in self.sections for failure in section.failures]
        parts += _listed("Failures", failed, ("section", "contender", "error"))
        engines = {name: dict(one) for section in self.sections for name, one in section.engines.items()}
        parts += _listed("Engines that ran", [[name, _facts(one)] for name, one in engines.items()])
        return without_folders("\n".join(parts))

    def _setup(self) -> list[str]:
        ended = [section.name for section in self.sections]
        missing = [name for name in self.planned if name not in ended]
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return [
            f"`{self.command}`\n\n{self.bundle}. {versions}.\n",
            *([f"**Incomplete: {', '.join(missing)} did not finish.**\n"] if missing else []),
            "## The machine\n",
            _table(("", "", "state", ""), [[one.topic, one.what, one.state, one.detail] for one in self.findings]),
        ]


class Files(NamedTuple):
    """Paths of a record."""

    markdown: Path
    data: Path


def free_files(record: Record, out: Path) -> Files:
    """Return unused paths for the record in the folder ``out``."""
    stem = f"{record.date}-{slug(record.device)}"
    names = (stem, *(f"{stem}-{number}" for number in range(2, 10_000)))
    free = next(name for name in names if not any((out / f"{name}{end}").exists() for end in (".md", ".json")))
    return Files(out / f"{free}.md", out / f"{free}.json")


def write(record: Record, files: Files) -> None:
    """Write the record, replacing its previous version.

    Raises:
        UsageError, MissingError: the folder is not writable, or the disk is full.
    """
    with whole_file(files.markdown) as first, whole_file(files.data) as second:
        first.write_text(record.as_markdown(), encoding="utf-8")
        second.write_text(record.as_json(), encoding="utf-8")


def _plain(section: Section) -> dict[str, Any]:
    return {
        "name": section.name,
        "failures": [failure._asdict() for failure in section.failures],
        "measured": [{"kind": type(one).__name__, **asdict(one)} for one in section.measured],  # type: ignore[call-overload]
        "engines": {name: dict(one) for name, one in section.engines.items()},
    }


def _listed(title: str, rows: Sequence[Sequence[str]], head: Sequence[str] = ("", "")) -> list[str]:
    return _titled(title, "", head, rows or [["nothing", *[""] * (len(head) - 1)]])


def _titled(title: str, note: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"## {title[0].upper()}{title[1:]}\n", *([f"{note}\n"] if note else []), _table(head, rows)]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return table(head, [[cell.translate(_ESCAPED) for cell in row] for row in rows])


def _clean(value: Any) -> Any:
    """Return a JSON-compatible copy without folders; NaN and infinities become strings."""
    if isinstance(value, dict):
        return {name: _clean(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(one) for one in value]
    if isinstance(value, str):
        return without_folders(value)
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _facts(description: dict[str, str]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in description.items())
