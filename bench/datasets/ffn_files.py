"""Files of the Frame Flexible Network's data sets, and their combined contents.

The names are those of the original's data folders and of the lists in its repository. It is an error if the list and
the class file do not match, because the accuracy would not reveal wrong class names.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ...errors import DatasetError
from .ffn_lists import ListRow, find_mismatch, read_class_names, read_hmdb_split, read_list
from .frameexit import find_file

SPLIT_FOLDERS = ("splits", "testTrainMulti_7030_splits", ".")


@dataclass(frozen=True)
class FFNLayout:
    """Accepted names of a data set's list and class files, in order of preference, and of its frames.

    `home` is its folder in the original's data root. `foreign` names AdaFuse's lists of the same videos, which have a
    different class order (V1), or the same labels but different frames (V2). `split` is the split of HMDB51's own
    files, used if there is no list.
    """

    name: str
    home: str
    lists: tuple[str, ...]
    class_files: tuple[str, ...]
    classes: int
    frame_name: str
    foreign: tuple[str, ...] = ()
    split: int | None = None


_STHV1 = FFNLayout(
    name="sthv1",
    home="something_v1",
    lists=("val_videofolder.txt", "somesomev1_rgb_validation_split.txt"),
    class_files=("category.txt",),
    classes=174,
    frame_name="{:05d}.jpg",
    foreign=("validation_split.txt", "adafuse_validation_split.txt"),
)
_STHV2 = FFNLayout(
    name="sthv2",
    home="something_v2",
    lists=("val_videofolder.txt", "somesomev2_rgb_validation_split.txt"),
    class_files=("category.txt",),
    classes=174,
    frame_name="{:06d}.jpg",
    foreign=("adafuse_val_videofolder.txt",),
)
_KINETICS = FFNLayout(
    name="kinetics400",
    home="kinetics",
    lists=("labels/val_videofolder.txt", "val_videofolder.txt", "ffn3d_val_videofolder.txt"),
    class_files=(
        "class_index.txt",
        "ffn3d_class_index.txt",
        "kinetics_400_categories.txt",
        "classInd.txt",
        "label_map_k400.txt",
    ),
    classes=400,
    frame_name="image_{:05d}.jpg",
)


def _hmdb51(name: str, split: int) -> FFNLayout:
    lists = (f"hmdb51_val_split_{split}_rawframes.txt",)
    classes = ("label_map.txt", "class_list.txt")
    return FFNLayout(name, "HMDB51", lists, classes, 51, "image_{:05d}.jpg", split=split)


_HMDB51 = (_hmdb51("hmdb51", 1), _hmdb51("hmdb51_2", 2), _hmdb51("hmdb51_3", 3))
LAYOUTS = {layout.name: layout for layout in (_STHV1, _STHV2, _KINETICS, *_HMDB51)}


@dataclass(frozen=True)
class Listing:
    """Contents of a data set's annotation files, not yet checked against the frames.

    `home` is the folder that contains everything else; `source` is the list, or the folder of HMDB51's own files.
    """

    layout: FFNLayout
    home: Path
    source: Path
    rows: tuple[ListRow, ...]
    class_names: tuple[str, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """One key per row: the last component of its path, or the whole path if several rows share it."""
        last = [row.path.rsplit("/", 1)[-1] for row in self.rows]
        times = Counter(last)
        return tuple(name if times[name] == 1 else row.path for row, name in zip(self.rows, last))


def find_list(layout: FFNLayout, root: Path) -> tuple[Path, Path] | None:
    """Return the home and source of the videos (see `Listing`); the home is `root` or its subfolder `layout.home`."""
    homes = (root, root / layout.home)
    for home in homes:
        if (found := find_file(home, layout.lists)) is not None:
            return home, found
    for home in homes if layout.split else ():
        for folder in (home / name for name in SPLIT_FOLDERS):
            if next(folder.glob(f"[!.]*_test_split{layout.split}.txt"), None):
                return home, folder
    return None


def read_listing(layout: FFNLayout, root: Path) -> Listing:
    """Return the list and class names in `root`; without a class file the classes are named "0", "1", ...

    Raises:
        DatasetError: there is no list, a file cannot be read, or the list and class files do not match.
    """
    found = find_list(layout, root)
    if found is None:
        raise _no_list(layout, root)
    home, source = found
    if layout.split and source.is_dir():
        rows, names = read_hmdb_split(source, layout.split)
        if len(names) != layout.classes:  # a missing class would shift all later labels
            what = f"{source} has {len(names)} classes in split {layout.split}, not {layout.classes}"
            raise DatasetError(what, f"put every class's file <class>_test_split{layout.split}.txt there")
        return Listing(layout, home, source, rows, names)
    rows = read_list(source)
    return Listing(layout, home, source, rows, _class_names(layout, (home, source.parent), rows))


def _no_list(layout: FFNLayout, root: Path) -> DatasetError:
    own = " or its own split files" if layout.split else ""
    hint = f"put one of {', '.join(layout.lists)}{own} there"
    foreign = find_file(root, layout.foreign)
    if foreign is not None:
        return DatasetError(f"{foreign} is AdaFuse's list, whose classes or frames differ from FFN's", hint)
    return DatasetError(f"{root} has no list file for {layout.name}", hint)


def _class_names(layout: FFNLayout, folders: tuple[Path, ...], rows: tuple[ListRow, ...]) -> tuple[str, ...]:
    """Return the names in the first class file that matches the list; if none does, raise the first file's error."""
    problems: list[DatasetError] = []
    files = [folder / name for name in layout.class_files for folder in folders if (folder / name).is_file()]
    for file in files:
        names = read_class_names(file)
        problem = find_mismatch(rows, names, str(file))
        if problem is None:
            return names
        problems.append(problem)
    names = tuple(map(str, range(layout.classes)))
    problem = problems[0] if problems else find_mismatch(rows, names, layout.name)
    if problem is not None:
        raise problem
    return names
