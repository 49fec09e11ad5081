"""Packages that a data set needs are checked before its first video, including for data sets from other packages."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.videos import save_picture
from vbench.bench.datasets.base import Dataset, LeftOut, Video
from vbench.bench.datasets.registry import DATASETS, DatasetReader, GeneratedDataset, Requirement, load_dataset
from vbench.errors import DatasetError, MissingError
from vbench.runtime.video.source import ArrayFrames, FrameSource


def frames() -> FrameSource:
    return ArrayFrames(np.zeros((1, 2, 2, 3), np.uint8))


def dataset(*keys: str, class_name: str = "a") -> Dataset:
    return Dataset("toy", (class_name,), tuple(Video(key, (0,), frames) for key in keys), (), "top1")


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, DatasetReader]]:
    """Registered members, removed after the test."""
    members: dict[str, DatasetReader] = {}
    monkeypatch.setattr(DATASETS, "_builtin", members)
    monkeypatch.setattr(DATASETS, "_loaded", {})
    return members


def test_the_built_in_data_set_needs_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name == "sklearn" or name.startswith("sklearn.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    words = "^the data set demo needs scikit-learn, which is not installed; pip install scikit-learn$"
    with pytest.raises(MissingError, match=words):
        load_dataset("demo")
    assert len(load_dataset("motion").videos) > 0, "it draws without packages"


def test_a_folder_needs_what_decodes_its_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    save_picture(tmp_path / "a" / "pictures" / "0.png", level=0)
    assert len(load_dataset("folder", tmp_path).videos) == 1
    (tmp_path / "a" / "video.mp4").touch()
    with pytest.raises(MissingError, match="the data set folder needs av, which is not installed; pip install av"):
        load_dataset("folder", tmp_path)


def test_a_data_set_of_another_package_declares_its_packages(toy: dict[str, DatasetReader]) -> None:
    toy["toy"] = GeneratedDataset(lambda: pytest.fail("loaded"), requires=(Requirement("vbench_absent", "absent"),))
    with pytest.raises(MissingError, match="the data set toy needs absent, which is not installed; pip install absent"):
        load_dataset("toy")


def test_a_package_that_does_not_load(
    toy: dict[str, DatasetReader], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vbench_broken.py").write_text("raise OSError('libgone.so: cannot open\\nmore')")
    monkeypatch.syspath_prepend(tmp_path)
    toy["toy"] = GeneratedDataset(lambda: dataset("a"), requires=(Requirement("vbench_broken", "broken"),))
    words = (
        r"the data set toy needs broken, which cannot be imported \(OSError: libgone\.so: cannot open\); pip install"
    )
    with pytest.raises(MissingError, match=words):
        load_dataset("toy")


def test_an_undeclared_package(toy: dict[str, DatasetReader]) -> None:
    def make() -> Dataset:
        raise ModuleNotFoundError("No module named 'vbench_absent'", name="vbench_absent")

    toy["toy"] = GeneratedDataset(make)
    with pytest.raises(MissingError, match="the data set toy needs vbench_absent, which is not installed"):
        load_dataset("toy")


def test_a_member_without_the_attribute(toy: dict[str, DatasetReader]) -> None:
    class Plain:
        needs_folder = False
        first_threshold = None

        def load(self, _folder: Path | None) -> Dataset:
            return dataset("a")

    toy["toy"] = Plain()  # type: ignore[assignment]
    assert len(load_dataset("toy").videos) == 1


def test_names_of_a_data_set_are_valid_text_and_distinct(toy: dict[str, DatasetReader]) -> None:
    left = LeftOut("c\udcff", "cannot list c\udcff")
    found = dataset("a\udce9", "a\\xe9", class_name="k\udce9")
    toy["toy"] = GeneratedDataset(lambda: Dataset("toy", found.class_names, found.videos, (left,), "top1"))
    loaded = load_dataset("toy")
    assert [video.key for video in loaded.videos] == [r"a\xe9", r"a\x5cxe9"]
    assert loaded.class_names == (r"k\xe9",)
    assert loaded.left_out == (LeftOut(r"c\xff", r"cannot list c\xff"),)
    toy["twice"] = GeneratedDataset(lambda: dataset("a", "b", "a"))
    with pytest.raises(DatasetError, match="the data set toy has two videos named 'a'; rename one of them"):
        load_dataset("twice")
