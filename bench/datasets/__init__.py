"""Data sets by name. Adding one is a file with a `load` function and a line in `_LOADERS`.

Where the data lie is said on the command line (`--data DIR`) or by `$VBENCH_DATA`, a folder with one subfolder per data
set; nothing is ever looked for anywhere else, and nothing is downloaded.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ...errors import DatasetError
from . import ffn, ffn_files, folder, frameexit
from .base import Dataset, LeftOut, Metric, Video, label_row

__all__ = ["Dataset", "LeftOut", "Metric", "Video", "DATASETS", "data_folder", "label_row", "load_dataset"]

_LOADERS: dict[str, Callable[[Path], Dataset]] = {
    "minikinetics": partial(frameexit.load, frameexit.MINIKINETICS),
    "activitynet": partial(frameexit.load, frameexit.ACTIVITYNET),
    **{name: partial(ffn.load, layout) for name, layout in ffn_files.LAYOUTS.items()},
    "folder": folder.load,
}
DATASETS = (*_LOADERS, "demo", "motion")


def load_dataset(name: str, data: Path | None = None) -> Dataset:
    """The data set called `name` (one of `DATASETS`), read from `data` or from `$VBENCH_DATA/<name>`.

    `demo` and `motion` draw their videos themselves and need no data.

    Raises:
        DatasetError: the name is unknown, the folder is not there, or what it holds does not fit together.
    """
    if name in ("demo", "motion"):
        from .synthetic import load as demo

        return demo.load() if name == "demo" else demo.load_motion()
    if name not in _LOADERS:
        raise DatasetError(f"there is no data set {name!r}", f"choose one of {', '.join(DATASETS)}")
    return _LOADERS[name](data_folder(name, data))


def data_folder(name: str, data: Path | None = None) -> Path:
    """The folder of a data set: `data`, else `$VBENCH_DATA/<name>`.

    Raises:
        DatasetError: neither was given, or there is no such folder.
    """
    variable = os.environ.get("VBENCH_DATA")
    if data is None and not variable:
        what = f"where is the data set {name!r}?"
        raise DatasetError(what, f"say --data DIR, or set VBENCH_DATA to a folder that holds a folder {name!r}")
    root = data if data is not None else Path(str(variable)) / name
    if not root.is_dir():
        raise DatasetError(f"{root} is not a folder", "say --data DIR, or set VBENCH_DATA to the folder above it")
    return root
