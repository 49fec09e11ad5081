"""Options that select a data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...option_fields import option, option_record
from .registry import DATASETS


@dataclass(frozen=True)
class DataOptions:
    """The data set, its folder, and the number of videos to run (all, if None)."""

    dataset: str = option("Data set to run over.", default="demo", values=lambda: DATASETS)
    data: Path | None = option("Folder of the data set.", default=None, show_default="$VBENCH_DATA/<data set>")
    limit: int | None = option("Run only the first N videos.", default=None, minimum=1)

    def record(self) -> dict[str, Any]:
        """Return the options as JSON; see `from_record`."""
        return option_record(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> DataOptions:
        """Return the options from a record.

        Raises:
            TypeError: it has unknown fields.
        """
        data = record["data"]
        return cls(**{**record, "data": None if data is None else Path(data)})
