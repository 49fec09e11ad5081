"""Registry of data sets. To add one, write a module with a member and a line in `DATASETS`, or an entry point.

An installed package adds a data set through an entry point of the group ``vbench.datasets``. Readers are imported
lazily, so that a command line can list the names quickly.

The data folder is given by `--data DIR` or by `$VBENCH_DATA`, a folder with one subfolder per data set. No other place
is searched, and nothing is downloaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from ...errors import DatasetError
from ...registry import Registry

if TYPE_CHECKING:
    from .base import Dataset


class DatasetReader(Protocol):
    """A member of `DATASETS`.

    Attributes:
        needs_folder: whether it reads a folder; otherwise it generates its videos.
        first_threshold: confidence above which FrameExit's first step exits on it, as chosen by its authors; None if
            they chose none.
    """

    @property
    def needs_folder(self) -> bool:
        """Whether it reads a folder."""
        ...

    @property
    def first_threshold(self) -> float | None:
        """Exit threshold of FrameExit's first step; None if its authors chose none."""
        ...

    def load(self, folder: Path | None) -> Dataset:
        """Read the data set in ``folder``, which exists; None if it needs none. No frame is opened yet.

        Raises:
            DatasetError: the content of the folder is inconsistent.
        """
        ...


@dataclass(frozen=True)
class FolderDataset:
    """A data set that ``read`` reads from a folder."""

    read: Callable[[Path], Dataset]
    first_threshold: float | None = None
    needs_folder: ClassVar[bool] = True

    def load(self, folder: Path | None) -> Dataset:
        assert folder is not None
        return self.read(folder)


@dataclass(frozen=True)
class GeneratedDataset:
    """A data set whose videos ``make`` generates."""

    make: Callable[[], Dataset]
    first_threshold: float | None = None
    needs_folder: ClassVar[bool] = False

    def load(self, folder: Path | None) -> Dataset:  # noqa: ARG002
        return self.make()


DATASETS: Registry[DatasetReader] = Registry(
    "data set",
    {
        "minikinetics": ".frameexit:MINIKINETICS_READER",
        "activitynet": ".frameexit:ACTIVITYNET_READER",
        "sthv1": ".ffn:STHV1",
        "sthv2": ".ffn:STHV2",
        "kinetics400": ".ffn:KINETICS400",
        "hmdb51": ".ffn:HMDB51",
        "hmdb51_2": ".ffn:HMDB51_2",
        "hmdb51_3": ".ffn:HMDB51_3",
        "folder": ".folder:READER",
        "demo": ".synthetic.load:DEMO",
        "motion": ".synthetic.load:MOTION",
    },
    group="vbench.datasets",
    package=__package__ or "",
)


def load_dataset(name: str, data: Path | None = None) -> Dataset:
    """Return the data set `name` (one of `DATASETS`), read from `data` or from `$VBENCH_DATA/<name>`.

    Raises:
        DatasetError: the name is unknown, the folder does not exist, or its content is inconsistent.
    """
    if name not in DATASETS:
        raise DatasetError(f"there is no data set {name!r}", f"choose one of {', '.join(DATASETS)}")
    reader = DATASETS.get(name)
    return reader.load(data_folder(name, data) if reader.needs_folder else None)


def data_folder(name: str, data: Path | None = None) -> Path:
    """Return the folder of a data set: `data`, else `$VBENCH_DATA/<name>`.

    Raises:
        DatasetError: neither was given, or the folder does not exist.
    """
    variable = os.environ.get("VBENCH_DATA")
    if data is None and not variable:
        what = f"no folder was given for data set {name!r}"
        raise DatasetError(what, f"pass --data DIR, or set VBENCH_DATA to a folder with a subfolder {name!r}")
    root = data if data is not None else Path(str(variable)) / name
    if not root.is_dir():
        raise DatasetError(f"{root} is not a folder", "pass --data DIR, or set VBENCH_DATA to its parent folder")
    return root
