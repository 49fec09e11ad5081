"""Registry of data sets. To add one to vbench, write a module that defines a reader, and list it in `DATASETS`.

An installed package adds a data set through an entry point in the group ``vbench.datasets``. Readers are imported
lazily, so that a command line can list the names quickly.

The data folder is given by `--data DIR` or by `$VBENCH_DATA`, a folder with one subfolder per data set. No other
location is searched, and nothing is downloaded.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from ...errors import DatasetError, MissingError
from ...registry import Registry
from ...runtime.bundle.manifest import Output

if TYPE_CHECKING:
    from .base import Dataset
    from .frameexit import FrameExitLayout


@dataclass(frozen=True)
class Requirement:
    """A package that the videos of a data set require: the module to import, and its name for pip."""

    module: str
    package: str

    def check(self, dataset: str) -> None:
        """Import the package.

        Raises:
            MissingError: it is not installed, or cannot be imported.
        """
        try:
            import_module(self.module)
        except ModuleNotFoundError:
            what = f"the data set {dataset} needs {self.package}, which is not installed"
            raise MissingError(what, f"pip install {self.package}") from None
        except Exception as error:  # importing a broken package may raise anything
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            what = f"the data set {dataset} needs {self.package}, which cannot be imported ({reason})"
            raise MissingError(what, f"pip install --force-reinstall {self.package}") from error


PYAV, PILLOW = Requirement("av", "av"), Requirement("PIL.Image", "pillow")
SCIKIT_LEARN = Requirement("sklearn.datasets", "scikit-learn")


class DatasetReader(Protocol):
    """A reader listed in `DATASETS`.

    Attributes:
        needs_folder: whether it reads a folder; otherwise it generates its videos.
        first_threshold: confidence above which FrameExit's first step exits on this data set, as chosen by FrameExit's
            authors; None if they chose none.
        requires: packages that all of its videos need; they are imported before the data set is loaded. A reader from
            another package may lack this attribute.

    A reader may also have `output`, which is what networks for it compute from logits (see `Dataset`; a softmax by
    default), and `layout`, if `vbench data prepare` extracts its frames.
    """

    @property
    def needs_folder(self) -> bool:
        """Whether it reads a folder."""
        ...

    @property
    def first_threshold(self) -> float | None:
        """Exit threshold of FrameExit's first step; None if FrameExit's authors chose none."""
        ...

    @property
    def requires(self) -> tuple[Requirement, ...]:
        """Packages that all of its videos need."""
        ...

    def load(self, folder: Path | None) -> Dataset:
        """Read the data set in the existing ``folder`` (None if it needs none) without opening frames.

        Raises:
            DatasetError: the contents of the folder are inconsistent.
        """
        ...


@dataclass(frozen=True)
class FolderDataset:
    """A data set that ``read`` reads from a folder."""

    read: Callable[[Path], Dataset]
    first_threshold: float | None = None
    requires: tuple[Requirement, ...] = ()
    output: Output = "softmax"
    layout: FrameExitLayout | None = None
    needs_folder: ClassVar[bool] = True

    def load(self, folder: Path | None) -> Dataset:
        assert folder is not None
        return self.read(folder)


@dataclass(frozen=True)
class GeneratedDataset:
    """A data set whose videos ``make`` generates."""

    make: Callable[[], Dataset]
    first_threshold: float | None = None
    requires: tuple[Requirement, ...] = ()
    needs_folder: ClassVar[bool] = False

    def load(self, folder: Path | None) -> Dataset:  # noqa: ARG002
        return self.make()


DATASETS: Registry[DatasetReader] = Registry(
    "data set",
    {
        "minikinetics": ".frameexit:MINIKINETICS_READER",
        "activitynet": ".frameexit:ACTIVITYNET_READER",
        "hvu": ".hvu:READER",
        "hvu_train": ".hvu:TRAIN_READER",
        "sthv1": ".ffn:STHV1",
        "sthv2": ".ffn:STHV2",
        "kinetics400": ".ffn:KINETICS400",
        "hmdb51": ".ffn:HMDB51",
        "hmdb51_2": ".ffn:HMDB51_2",
        "hmdb51_3": ".ffn:HMDB51_3",
        "folder": ".folder:READER",
        "demo": ".synthetic.load:DEMO",
        "demo_gates": ".synthetic.load:DEMO_GATES",
        "demo_test": ".synthetic.load:DEMO_TEST",
        "motion": ".synthetic.load:MOTION",
        "motion_test": ".synthetic.load:MOTION_TEST",
    },
    group="vbench.datasets",
    package=__package__ or "",
)


def frame_layouts() -> dict[str, FrameExitLayout]:
    """Return the layouts of the data sets whose frames `vbench data prepare` extracts, by name."""
    found: dict[str, FrameExitLayout] = {}
    for name in DATASETS:
        try:
            layout = getattr(DATASETS.get(name), "layout", None)
        except MissingError:  # one broken package must not hide the others' layouts
            continue
        if layout is not None:
            found[name] = layout
    return found


def load_dataset(name: str, data: Path | None = None) -> Dataset:
    """Return the data set `name` (one of `DATASETS`), read from `data` or from `$VBENCH_DATA/<name>`.

    Raises:
        DatasetError: the name is unknown, the folder does not exist, or its contents are inconsistent.
        MissingError: a package that its videos need is missing.
    """
    if name not in DATASETS:
        raise DatasetError(f"unknown data set {name!r}", f"choose one of {', '.join(DATASETS)}")
    reader = DATASETS.get(name)
    folder = data_folder(name, data) if reader.needs_folder else None
    requires: tuple[Requirement, ...] = getattr(reader, "requires", ())
    for requirement in requires:
        requirement.check(name)
    try:
        dataset = reader.load(folder).with_valid_names()
    except ModuleNotFoundError as error:  # a requirement that another package's reader did not declare
        raise MissingError(f"the data set {name} needs {error.name}, which is not installed", "install it") from error
    _require_distinct_keys(dataset)
    return dataset


def _require_distinct_keys(dataset: Dataset) -> None:
    keys = [video.key for video in dataset.videos]
    if len(set(keys)) < len(keys):
        repeated = next(key for key, times in Counter(keys).items() if times > 1)
        raise DatasetError(f"the data set {dataset.name} has two videos named {repeated!r}", "rename one of them")


def data_folder(name: str, data: Path | None = None) -> Path:
    """Return the folder of a data set: `data` if given, else `$VBENCH_DATA/<name>`.

    Raises:
        DatasetError: neither was given, or the folder does not exist.
    """
    variable = os.environ.get("VBENCH_DATA")
    if data is None and not variable:
        what = f"no folder was given for data set {name!r}"
        raise DatasetError(what, f"pass --data DIR, or set VBENCH_DATA to a folder with a subfolder {name!r}")
    root = data if data is not None else Path(str(variable)) / name
    if not root.is_dir():
        raise DatasetError(
            f"{root} is not a folder",
            "pass an existing folder with --data DIR, or set VBENCH_DATA to the folder that contains it",
        )
    return root
