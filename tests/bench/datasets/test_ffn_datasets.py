from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.shared import ANNOTATIONS, needs_shared
from tests.videos import picture, save_picture
from vbench.bench.datasets import Dataset, load_dataset
from vbench.bench.datasets.check import check_data
from vbench.bench.datasets.ffn import find_videos
from vbench.bench.datasets.ffn_files import LAYOUTS, read_listing
from vbench.bench.datasets.ffn_lists import ListRow, read_class_names, read_hmdb_split, read_list
from vbench.errors import DatasetError, FrameError
from vbench.runtime.video.listed_frames import ListedFrames

ROW = "v 3 0\n"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def folders(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).mkdir(parents=True)
    return root


def keys(dataset: Dataset) -> list[str]:
    return [video.key for video in dataset.videos]


def opened(dataset: Dataset, index: int = 0) -> ListedFrames:
    source = dataset.videos[index].open()
    assert isinstance(source, ListedFrames)
    return source


# ---- list files


@given(
    path=st.lists(st.text("ab0. ()[]'é\t", min_size=1).map(str.strip).filter(lambda s: s.strip(".")), min_size=1),
    frames=st.integers(0, 10**6),
    label=st.integers(0, 999),
)
def test_any_path_is_split_from_the_right(
    tmp_path_factory: pytest.TempPathFactory, path: list[str], frames: int, label: int
) -> None:
    file = tmp_path_factory.mktemp("list") / "list.txt"
    file.write_text(f"{'/'.join(path)} {frames} {label}\n", encoding="utf-8")
    assert read_list(file) == (ListRow("/".join(path), frames, label, f"{file}, line 1"),)


def test_list_lines(tmp_path: Path) -> None:
    file = write(tmp_path / "list.txt", "\n/data/air drumming/x 60 7\r\n\na//./b 3 0")
    assert [row[:3] for row in read_list(file)] == [("data/air drumming/x", 60, 7), ("a/b", 3, 0)]
    assert [row.where for row in read_list(file)] == [f"{file}, line 2", f"{file}, line 4"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lists no videos"),
        ("ok 3 0\nv 3\n", r"list\.txt, line 2: expected 3 fields, got 2 in 'v 3'; write 'path num_frames label'"),
        ("v three 0\n", r"list\.txt, line 1: 'three' is not a whole number"),
        ("v 3 -1\n", r"line 1: '-1' is not a whole number"),
        (f"v 3 {'1' * 5000}\n", r"line 1: '1{80}' is not a whole number"),
        ("v 3 1.0\n", r"line 1: '1\.0' is not a whole number"),
        ("../v 3 0\n", r"line 1: '\.\./v' does not name a folder of the data set"),
        ("/ 3 0\n", r"line 1: '/' does not name a folder"),
        ("v 3 0\nw 3 0\n/v 4 1\n", r"line 3: 'v' is already listed in .*list\.txt, line 1"),
    ],
)
def test_bad_lists(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        read_list(write(tmp_path / "list.txt", text))
    assert "\n" not in str(caught.value)


# ---- class files


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Holding something\nMoving 2 things\n", ("Holding something", "Moving 2 things")),
        ("skipping_rope 1\nwashing_hands 0", ("washing_hands", "skipping_rope")),
        ("riding a bike\t0\nmarching\t1\n", ("riding a bike", "marching")),
        ("Poking [something]\nPoking a hole\n[Something] falling", ("Poking a hole", "Poking something")),
    ],
)
def test_class_files(tmp_path: Path, text: str, names: tuple[str, ...]) -> None:
    assert read_class_names(write(tmp_path / "category.txt", text))[: len(names)] == names


def test_class_numbers_with_a_gap(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="does not assign each of the numbers 0, 1, 2"):
        read_class_names(write(tmp_path / "classInd.txt", "a 1\nb 2\n"))


@pytest.mark.parametrize(("name", "count"), [("sthv1", 174), ("sthv2", 174), ("kinetics400", 400), ("hmdb51_3", 51)])
def test_classes_without_a_file_are_named_by_number(tmp_path: Path, name: str, count: int) -> None:
    # the folder 7 is not a class folder, although a class is named 7
    write(tmp_path / LAYOUTS[name].lists[-1], f"7/v 3 {count - 1}\n")
    dataset = load_dataset(name, folders(tmp_path, "7/v"))
    assert dataset.class_names == tuple(str(number) for number in range(count))
    assert (dataset.videos[0].classes, dataset.metric, dataset.first_threshold) == ((count - 1,), "top1", None)


@pytest.mark.parametrize("classes", ["a\nb\n", None])
def test_a_label_that_is_not_a_class(tmp_path: Path, classes: str | None) -> None:
    write(tmp_path / "val_videofolder.txt", "v 3 1\nw 3 174\n")
    if classes:
        write(tmp_path / "category.txt", classes)
    with pytest.raises(
        DatasetError, match=r"val_videofolder\.txt, line 2: label 174 is not one of the classes 0 to (1|173)"
    ):
        load_dataset("sthv1", folders(tmp_path, "v"))


def test_the_class_file_that_matches_the_class_folders_is_used(tmp_path: Path) -> None:
    write(tmp_path / "labels" / "val_videofolder.txt", "hurling_-sport-/v 3 1\narchery/w 3 0\n")
    write(tmp_path / "class_index.txt", "hurling_-sport- 0\narchery 1\n")
    folders(tmp_path, "images/archery/w", "images/hurling_-sport-/v")
    message = r"line 1: label 1 contradicts the folder 'hurling_-sport-', class 0 in .*class_index\.txt"
    with pytest.raises(DatasetError, match=message):
        load_dataset("kinetics400", tmp_path)
    write(tmp_path / "labels" / "label_map_k400.txt", "archery\nhurling (sport)\n")
    assert load_dataset("kinetics400", tmp_path).class_names == ("archery", "hurling (sport)")


# ---- choice of the list


def test_the_first_list_is_used(tmp_path: Path) -> None:
    folders(tmp_path, "v", "w")
    write(tmp_path / "somesomev2_rgb_validation_split.txt", "w 3 0\n")
    assert keys(load_dataset("sthv2", tmp_path)) == ["w"]
    write(tmp_path / "val_videofolder.txt", ROW)
    assert keys(load_dataset("sthv2", tmp_path)) == ["v"]


@pytest.mark.parametrize(
    ("name", "list_file", "frames"),
    [
        ("sthv1", "something_v1/val_videofolder.txt", "something_v1/v"),
        ("sthv2", "something_v2/val_videofolder.txt", "something_v2/v"),
        ("kinetics400", "kinetics/labels/val_videofolder.txt", "kinetics/images/v"),
        ("hmdb51", "HMDB51/hmdb51_val_split_1_rawframes.txt", "HMDB51/v"),
        ("hmdb51_2", "HMDB51/hmdb51_val_split_2_rawframes.txt", "HMDB51/v"),
    ],
)
def test_the_data_root_of_the_original(tmp_path: Path, name: str, list_file: str, frames: str) -> None:
    write(tmp_path / list_file, ROW)
    assert opened(load_dataset(name, folders(tmp_path, frames))).folder == tmp_path / frames


def test_no_list(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no list file for sthv1; put one of val_videofolder\.txt, somesomev1_rgb"):
        load_dataset("sthv1", tmp_path)
    with pytest.raises(DatasetError, match=r"put one of hmdb51_val_split_2_rawframes\.txt or its own split files"):
        load_dataset("hmdb51_2", tmp_path)
    write(tmp_path / "adafuse_validation_split.txt", ROW)
    with pytest.raises(DatasetError, match=r"is AdaFuse's list.*; put one of val_videofolder\.txt") as caught:
        load_dataset("sthv1", tmp_path)
    assert "\n" not in str(caught.value)
    write(tmp_path / "val_videofolder.txt", ROW)
    assert keys(load_dataset("sthv1", folders(tmp_path, "v"))) == ["v"]


# ---- location of the frames


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("a/b/v", "a/b/v"),
        ("a/b/v", "images/a/b/v"),
        ("a/b/v", "frames/a/b/v"),
        ("a/b/v", "b/v"),
        ("a/b/v", "frames/v"),
        ("/somewhere/else/v", "frames/else/v"),
        ("/somewhere/else/v", "v"),
    ],
)
def test_frame_folder_search(tmp_path: Path, path: str, folder: str) -> None:
    write(tmp_path / "val_videofolder.txt", f"{path} 3 0\n")
    assert opened(load_dataset("sthv1", folders(tmp_path, folder))).folder == tmp_path / folder


def test_nothing_outside_the_folder_is_opened(tmp_path: Path) -> None:
    folders(tmp_path, "data", "outside/v")
    write(tmp_path / "data" / "val_videofolder.txt", f"{tmp_path}/outside/v 3 0\n")
    with pytest.raises(DatasetError, match="none of the 1 videos"):
        load_dataset("sthv1", tmp_path / "data")


def test_videos_of_one_name_keep_their_paths(tmp_path: Path) -> None:
    write(tmp_path / "val_videofolder.txt", "root/b/v 3 0\nroot/a/v 3 1\nroot/a/u 3 2\n")
    dataset = load_dataset("sthv1", folders(tmp_path, "frames/a/v", "frames/b/v", "v"))
    assert keys(dataset) == ["root/a/v", "root/b/v"]
    assert [video.open().folder for video in dataset.videos] == [  # type: ignore[attr-defined]
        tmp_path / "frames" / name / "v" for name in "ab"
    ]
    assert [(video.key, video.reason) for video in dataset.left_out] == [("u", "no frame folder")]


def test_left_out_and_order(tmp_path: Path) -> None:
    write(tmp_path / "val_videofolder.txt", "9 3 0\n10 40 1\n8 2 0\n7 5 0\n6 0 1\n")
    dataset = load_dataset("sthv1", folders(tmp_path, "9", "10", "8"))
    assert keys(dataset) == ["10", "9"]
    assert [(video.key, video.reason) for video in dataset.left_out] == [
        ("6", "the video has 0 frames, fewer than 3"),
        ("7", "no frame folder"),
        ("8", "the video has 2 frames, fewer than 3"),
    ]
    assert len(opened(dataset)) == 40  # as listed, although the folder is empty
    found = check_data("sthv1", tmp_path)
    assert (found.videos, found.ready, found.classes, found.complete) == (5, 2, 174, False)
    assert (found.missing, found.left_out) == (("7",), ("6", "8"))


def test_no_frames_at_all(tmp_path: Path) -> None:
    write(tmp_path / "val_videofolder.txt", "a/v 3 0\n")
    places = f"{tmp_path}, {tmp_path / 'images'}, {tmp_path / 'frames'}"
    message = f"none of the 1 videos of sthv2 has frames in {places}; put files such as a/v/000001.jpg"
    with pytest.raises(DatasetError, match=re.escape(message)):
        load_dataset("sthv2", tmp_path)


def test_check_names_the_missing_list_and_refuses_other_data_sets(tmp_path: Path) -> None:
    found = check_data("hmdb51", tmp_path)
    assert (found.complete, found.missing_files[0].accepted) == (False, ("hmdb51_val_split_1_rawframes.txt",))
    with pytest.raises(DatasetError, match="data set 'folder' has no files to check; choose one of minikinetics"):
        check_data("folder", tmp_path)
    write(tmp_path / "hmdb51_val_split_1_rawframes.txt", "v 2 0\nw 3 0\n")
    assert check_data("hmdb51", folders(tmp_path, "w")).complete


# ---- HMDB51's own files


def hmdb(root: Path, where: str = "splits") -> Path:
    write(root / where / "wave_test_split1.txt", "w(1)_[x].avi 2 \nx.avi 1 \ny.avi 0 \n")
    write(root / where / "climb_test_split1.txt", "c.avi 2 \nd.avi 2\n\n")
    write(root / where / "climb_stairs_test_split1.txt", "s.avi 2 \n")
    write(root / where / "climb_test_split2.txt", "d.avi 2 \n")
    for number in range(48):
        write(root / where / f"x{number:02d}_test_split1.txt", f"x{number}.avi 1 \n")
    return root


@pytest.mark.parametrize("where", ["splits", ".", "testTrainMulti_7030_splits"])
def test_hmdb51_from_its_own_splits(tmp_path: Path, where: str) -> None:
    hmdb(tmp_path, where)
    for path, count in (("wave/w(1)_[x]", 4), ("climb/c", 2), ("climb_stairs/s", 3)):
        for number in range(1, count + 1):
            save_picture(tmp_path / "frames" / path / f"image_{number:05d}.jpg")
    save_picture(tmp_path / "frames" / "climb" / "c" / "flow_x_00001.jpg")
    write(tmp_path / "class_list.txt", "wave\nclimb_stairs\nclimb")  # not needed
    dataset = load_dataset("hmdb51", tmp_path)
    assert dataset.class_names[:4] == ("climb", "climb_stairs", "wave", "x00")
    assert [(video.key, video.classes, len(video.open())) for video in dataset.videos] == [
        ("s", (1,), 3),
        ("w(1)_[x]", (2,), 4),
    ]
    assert {video.key: video.reason for video in dataset.left_out} == {
        "c": "the video has 2 frames, fewer than 3",
        "d": "no frame folder",
    }
    # a list in the original's format is preferred
    (tmp_path / "class_list.txt").unlink()
    write(tmp_path / "hmdb51_val_split_1_rawframes.txt", "wave/w(1)_[x] 99 2\n")
    assert len(opened(load_dataset("hmdb51", tmp_path))) == 99


def test_hmdb51_classes_in_another_order(tmp_path: Path) -> None:
    write(tmp_path / "hmdb51_val_split_1_rawframes.txt", "kick/v 3 0\nkick_ball/w 3 1\n")
    write(tmp_path / "class_list.txt", "kick_ball\nkick")
    with pytest.raises(DatasetError, match=r"label 0 contradicts the folder 'kick', class 1 in .*class_list\.txt"):
        load_dataset("hmdb51", tmp_path)
    write(tmp_path / "label_map.txt", "kick\nkick_ball\n")
    assert load_dataset("hmdb51", folders(tmp_path, "kick/v")).class_names == ("kick", "kick_ball")


@pytest.mark.parametrize("line", ["c.avi 3", "c.avi", "c.mp4 2", "a/c.avi 2"])
def test_bad_lines_of_a_split(tmp_path: Path, line: str) -> None:
    write(hmdb(tmp_path) / "splits" / "wave_test_split1.txt", f"w.avi 2\n{line}\n")
    with pytest.raises(DatasetError, match=r"wave_test_split1\.txt, line 2: .* is not a valid line of a split file"):
        load_dataset("hmdb51", tmp_path)


def test_a_split_of_fewer_classes(tmp_path: Path) -> None:
    (hmdb(tmp_path) / "splits" / "climb_stairs_test_split1.txt").unlink()
    with pytest.raises(DatasetError, match="splits has 50 classes in split 1, not 51; put every"):
        load_dataset("hmdb51", tmp_path)


def test_a_split_without_test_videos(tmp_path: Path) -> None:
    write(tmp_path / "wave_test_split3.txt", "w.avi 1\n")
    with pytest.raises(DatasetError, match="lists no test videos for split 3"):
        load_dataset("hmdb51_3", tmp_path)


# ---- numbered frames


@pytest.mark.parametrize(
    ("name", "first"),
    [("sthv1", "00001"), ("sthv2", "000001"), ("kinetics400", "image_00001"), ("hmdb51", "image_00001")],
)
def test_names_of_frames(tmp_path: Path, name: str, first: str) -> None:
    write(tmp_path / LAYOUTS[name].lists[-1], ROW)
    save_picture(tmp_path / "v" / f"{first}.jpg")
    assert opened(load_dataset(name, tmp_path)).read(0).shape == (24, 32, 3)


def numbered(folder: Path, *numbers: int, count: int = 4) -> ListedFrames:
    for number in numbers:
        save_picture(folder / f"{number:02d}.png", level=number)
    return ListedFrames(folder, "{:02d}.png", count)


def test_frames_are_numbered_from_1(tmp_path: Path) -> None:
    source = numbered(tmp_path, 1, 2, 3, 4, 5)
    assert len(source) == 4
    for position in (3, 0):
        np.testing.assert_array_equal(source.read(position), picture(position + 1))
    assert (source.replaced, source.frames_decoded) == (0, 2)
    for position in (4, -1):
        with pytest.raises(FrameError, match=f"no frame {position}; choose a frame from 0 to 3"):
            source.read(position)
    source.close()
    with pytest.raises(FrameError, match="is closed"):
        source.read(0)


def test_a_bad_frame_is_replaced_by_frame_1(tmp_path: Path) -> None:
    source = numbered(tmp_path, 1, 2)
    (tmp_path / "03.png").write_bytes(b"no picture")
    source.expect([1, 2, 3, 3])
    for position, wanted in ((1, 2), (2, 1), (3, 1), (3, 1)):
        np.testing.assert_array_equal(source.read(position), picture(wanted))
    # frame 2; the damaged frame 3 and frame 1 for it; frame 1 for the missing frame 4, kept for its second read
    assert (source.replaced, source.frames_decoded) == (2, 4)


@pytest.mark.parametrize("position", [0, 2])
def test_without_frame_1_there_is_an_error(tmp_path: Path, position: int) -> None:
    source = numbered(tmp_path, 2)
    with pytest.raises(FrameError, match=r"frame 1 of a video cannot be opened: .*01\.png does not exist; extract"):
        source.read(position)
    assert source.replaced == 0


def test_pictures_become_rgb(tmp_path: Path) -> None:
    save_picture(tmp_path / "01.png", mode="L")
    frame = numbered(tmp_path).read(0)
    assert (frame.shape, frame.dtype) == ((24, 32, 3), np.uint8)
    np.testing.assert_array_equal(frame, picture())


def test_a_video_of_no_frames(tmp_path: Path) -> None:
    with pytest.raises(FrameError, match="listed with 0 frames"):
        numbered(tmp_path, count=0)


# ---- the real files


@needs_shared
@pytest.mark.parametrize(
    ("file", "count", "classes", "frames"),
    [
        ("sthv1/somesomev1_rgb_validation_split.txt", 11_522, 174, (21, 90)),
        ("sthv1/adafuse_validation_split.txt", 11_522, 174, (21, 90)),
        ("sthv2/somesomev2_rgb_validation_split.txt", 24_777, 174, (12, 423)),
        ("kinetics400/ffn3d_val_videofolder.txt", 19_404, 400, (8, 720)),
    ],
)
def test_real_lists(file: str, count: int, classes: int, frames: tuple[int, int]) -> None:
    start = time.perf_counter()
    rows = read_list(ANNOTATIONS / file)
    assert time.perf_counter() - start < 5
    assert len(rows) == count
    assert {row.label for row in rows} == set(range(classes))
    counts = [row.frames for row in rows if row.frames is not None]
    assert (min(counts), max(counts)) == frames


@needs_shared
@pytest.mark.parametrize("split", [1, 2, 3])
def test_real_hmdb51(split: int) -> None:
    rows, names = read_hmdb_split(ANNOTATIONS / "hmdb51" / "splits", split)
    assert (len(rows), {row.label for row in rows}) == (1530, set(range(51)))
    assert all(names[row.label] == row.path.split("/")[0] for row in rows)
    assert names == read_class_names(ANNOTATIONS / "hmdb51" / "label_map.txt")
    other = read_class_names(ANNOTATIONS / "hmdb51" / "class_list.txt")
    assert sorted(other) == list(names)
    moved = {name for name, theirs in zip(names, other) if name != theirs}
    assert moved == {"kick", "kick_ball", "sword", "sword_exercise"}


@needs_shared
@pytest.mark.parametrize("name", ["sthv1", "sthv2", "kinetics400", "hmdb51", "hmdb51_2", "hmdb51_3"])
def test_real_folders_are_read_as_they_are(name: str) -> None:
    listing = read_listing(LAYOUTS[name], ANNOTATIONS / name.removesuffix("_2").removesuffix("_3"))
    assert len(listing.class_names) == len(set(listing.class_names)) == LAYOUTS[name].classes
    assert len(set(listing.keys)) == len(listing.rows)
    assert all("/" not in key for key in listing.keys)
    videos, left_out = find_videos(listing)
    assert (len(videos), {video.reason for video in left_out}) == (0, {"no frame folder"})


@needs_shared
@pytest.mark.parametrize("name", ["sthv1", "sthv2"])
def test_real_labels_agree_with_adafuse(name: str) -> None:
    """Two independent lists must agree on the class names, regardless of their class order."""
    folder = ANNOTATIONS / name
    listing = read_listing(LAYOUTS[name], folder)
    names = [line.split(",", 1)[1] for line in (folder / "adafuse_classInd.txt").read_text().splitlines()]
    file = next(folder.glob("adafuse_val*.txt"))
    theirs = {row.path.removeprefix("val/"): names[row.label] for row in read_list(file)}
    assert {row.path: listing.class_names[row.label] for row in listing.rows} == theirs


@needs_shared
def test_real_kinetics_names_follow_the_class_folders(tmp_path: Path) -> None:
    folder = ANNOTATIONS / "kinetics400"
    shutil.copy(folder / "ffn3d_val_videofolder.txt", tmp_path)
    shutil.copy(folder / "kinetics_400_categories.txt", tmp_path)
    with pytest.raises(DatasetError, match="label 0 contradicts the folder 'washing_hands', class"):
        read_listing(LAYOUTS["kinetics400"], tmp_path)
    shutil.copy(folder / "ffn3d_class_index.txt", tmp_path)
    assert read_listing(LAYOUTS["kinetics400"], tmp_path).class_names[:2] == ("washing_hands", "skipping_rope")
