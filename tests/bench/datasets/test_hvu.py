"""HVU's lists: tags and categories, both naming rules, and errors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.shared import ANNOTATIONS, needs_shared
from vbench.bench.datasets import Dataset, load_dataset
from vbench.bench.datasets.check import check_data
from vbench.bench.datasets.hvu import CATEGORIES, read_list, read_tags
from vbench.bench.datasets.prepare import prepare
from vbench.errors import DatasetError

TAGS = "Tag,Category\nrun,action\nred,attribute\nfun,concept\nparty,event\ndog,object\npark,scene\n"
HEAD = "Tags,youtube_id,time_start,time_end\n"
ROWS = "dog|run,-abcdefghij,101.5,103.5\nfun,-abcdefghij,2,12\npark|red,_bcdefghijk,8.5,10.5\n"
SECONDS = ("-abcdefghij_000101_000103.mp4", "-abcdefghij_000002_000012.mp4", "_bcdefghijk_000008_000010.mp4")
TENTHS = ("-abcdefghij_001015_001035.mp4", "-abcdefghij_000020_000120.mp4", "_bcdefghijk_000085_000105.mp4")


def folder(root: Path, frames: Sequence[str] = SECONDS, tags: str = TAGS, rows: str = HEAD + ROWS) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "tags.csv").write_text(tags)
    (root / "val.csv").write_text(rows)
    for name in frames:
        (root / "frames" / name).mkdir(parents=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(root / "frames" / name / "00001.jpeg")
    return root


def load(root: Path) -> Dataset:
    return load_dataset("hvu", root)


@pytest.mark.parametrize("frames", [SECONDS, TENTHS], ids=["seconds", "tenths"])
def test_both_naming_rules(tmp_path: Path, frames: Sequence[str]) -> None:
    found = load(folder(tmp_path, frames))
    assert [video.key for video in found.videos] == sorted(SECONDS)
    assert {video.key: video.classes for video in found.videos} == dict(zip(SECONDS, [(0, 4), (2,), (1, 5)]))
    assert found.categories == tuple(CATEGORIES)
    assert (found.metric, found.output, found.first_threshold) == ("map", "sigmoid", 1.0)
    assert all(len(video.open()) == 1 for video in found.videos)


def test_videos_without_frames_are_left_out(tmp_path: Path) -> None:
    found = load(folder(tmp_path, TENTHS[:1]))
    assert len(found.videos) == 1
    assert [left.key for left in found.left_out] == sorted(SECONDS[1:])
    assert check_data("hvu", tmp_path).missing == tuple(sorted(SECONDS[1:]))


def test_a_folder_with_both_naming_rules_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"in seconds .*000101_000103.* and in tenths of a second .*000020_000120"):
        load(folder(tmp_path, (SECONDS[0], TENTHS[1])))


def test_names_that_follow_either_rule_are_refused(tmp_path: Path) -> None:
    rows = HEAD + "fun,-abcdefghij,1,2\nfun,-abcdefghij,10,20\n"
    with pytest.raises(DatasetError, match="keep only the files that follow one of these rules"):
        load(folder(tmp_path, ("-abcdefghij_000010_000020.mp4",), rows=rows))


def test_prepare_finds_videos_by_either_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, videos = folder(tmp_path / "data", ()), tmp_path / "videos"
    videos.mkdir()
    for name in TENTHS:
        (videos / name).write_bytes(b"")
    jobs: list[tuple[str, str]] = []
    monkeypatch.setattr(
        "vbench.bench.datasets.prepare.run_jobs",
        lambda given, *_: jobs.extend((job.key, job.video.name) for job in given) or [],
    )
    prepare("hvu", videos, root)
    assert jobs == sorted(zip(SECONDS, TENTHS))
    (videos / SECONDS[0]).write_bytes(b"")
    with pytest.raises(DatasetError, match="times in seconds"):
        prepare("hvu", videos, root)


def test_classes_take_the_order_of_the_network(tmp_path: Path) -> None:
    found = load(folder(tmp_path))
    names = found.class_names[::-1]
    renumbered = found.renumber_classes(names)
    assert renumbered.categories == tuple(CATEGORIES)[::-1]
    assert [[names[label] for label in video.classes or ()] for video in renumbered.videos][1] == ["dog", "run"]
    with pytest.raises(DatasetError, match="does not have the network's class 'cat'"):
        found.renumber_classes([*names, "cat"])


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("Tags,id,start,end\n" + ROWS, "val.csv begins with 'Tags,id,start,end'"),
        (HEAD, "lists nothing below its header"),
        (HEAD + ROWS.rstrip(), "is cut off partway through its last line"),
        (HEAD + ROWS + "dog,abcdefghijk,1\n", "line 5: found 3 fields in 'dog,abcdefghijk,1'"),
        (HEAD + "dog,abc,1,2\n", "line 2: 'abc' is not an 11-character YouTube ID"),
        (HEAD + "dog,abcdefghijk,one,2\n", "line 2: 'one' is not a time in seconds"),
        (HEAD + "dog,abcdefghijk,nan,2\n", "line 2: 'nan' is not a time in seconds"),
        (HEAD + "dog,abcdefghijk,-1,2\n", "line 2: '-1' is not a time in seconds"),
        (HEAD + "dog,abcdefghijk,2,2\n", "line 2: the end of the clip, 2, is not after its start, 2"),
        (HEAD + "dog||run,abcdefghijk,1,2\n", "line 2: 'dog||run' contains an empty tag"),
        (HEAD + ",abcdefghijk,1,2\n", "line 2: '' contains an empty tag"),
        (HEAD + 2 * "dog,abcdefghijk,1,2\n", "line 3: abcdefghijk_000001_000002.mp4 is already listed in"),
        (HEAD + ROWS + "cat,abcdefghijk,1,2\n", "line 5: label 'cat' of video abcdefghijk_000001_000002.mp4 is not in"),
    ],
)
def test_malformed_list(tmp_path: Path, rows: str, said: str) -> None:
    folder(tmp_path, rows=rows)
    with pytest.raises(DatasetError) as raised:
        load(tmp_path)
    assert said in raised.value.message
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ("tag,category\nrun,action\n", "tags.csv begins with 'tag,category'"),
        ("Tag,Category\nrun\n", "line 2: 'run' is not a tag and its category"),
        ("Tag,Category\nrun,verb\n", "line 2: 'verb' is not a category"),
        ("Tag,Category\nrun,action\nrun,scene\n", "line 3: the tag 'run' is already listed above"),
        ("Tag,Category\nrun,action", "is cut off partway through its last line, 'run,action'"),
        ("Tag,Category\n", "lists nothing below its header"),
    ],
)
def test_malformed_tag_file(tmp_path: Path, tags: str, said: str) -> None:
    folder(tmp_path, tags=tags)
    with pytest.raises(DatasetError) as raised:
        load(tmp_path)
    assert said in raised.value.message
    assert "\n" not in str(raised.value)


def test_the_official_tag_file_must_be_complete(tmp_path: Path) -> None:
    path = tmp_path / "HVU_Tags_Categories_V1.0.csv"
    path.write_text(TAGS)
    with pytest.raises(DatasetError, match=r"has 1 tags in category action, not 739; .* name a list .* tags\.csv"):
        read_tags(path)


def test_the_training_list_lies_beside_the_validation_list(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "train.csv").write_text(HEAD + "fun,-abcdefghij,101.5,103.5\nrun,_bcdefghijk,8.5,10.5\n")
    found = load_dataset("hvu_train", tmp_path)
    assert {video.key: video.classes for video in found.videos} == {SECONDS[0]: (2,), SECONDS[2]: (0,)}
    assert (found.name, found.split, load(tmp_path).split) == ("hvu_train", "training", "validation")
    assert (found.categories, found.output, found.first_threshold) == (tuple(CATEGORIES), "sigmoid", 1.0)
    assert check_data("hvu_train", tmp_path).complete
    (tmp_path / "split_train.txt").write_text(f"{SECONDS[2]}\n")
    assert [video.key for video in load_dataset("hvu_train", tmp_path).videos] == [SECONDS[2]]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (None, "has no label file for hvu_train; put one of HVU_Train_V1.0.csv, train.csv there"),
        (HEAD + "cat,abcdefghijk,1,2\n", "line 2: label 'cat' of video abcdefghijk_000001_000002.mp4 is not in"),
    ],
)
def test_malformed_training_list(tmp_path: Path, rows: str | None, said: str) -> None:
    folder(tmp_path)
    if rows is not None:
        (tmp_path / "train.csv").write_text(rows)
    with pytest.raises(DatasetError, match=said):
        load_dataset("hvu_train", tmp_path)


@needs_shared
def test_the_real_files() -> None:
    tags, categories = read_tags(ANNOTATIONS / "hvu" / "HVU_Tags_Categories_V1.0.csv")
    rows, tenths = read_list(ANNOTATIONS / "hvu" / "HVU_Val_V1.0_excerpt.csv")
    assert len(tags) == len(set(tags)) == sum(CATEGORIES.values()) == 3142
    assert {name: categories.count(name) for name in CATEGORIES} == CATEGORIES
    assert len(rows) == len(tenths) == len(set(tenths.values())) == 499
    assert set().union(*(row.names for row in rows.values())) <= set(tags)
    assert tenths["gD_G1b0wV5I_000101_000103.mp4"] == "gD_G1b0wV5I_001015_001035.mp4"
