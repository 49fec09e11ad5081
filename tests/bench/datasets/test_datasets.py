from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.shared import ANNOTATIONS, needs_shared
from tests.videos import save_picture, save_video
from vbench.bench.datasets import Video, label_row, load_dataset
from vbench.bench.datasets.check import check_data
from vbench.bench.datasets.frameexit import ACTIVITYNET, MINIKINETICS, FrameExitLayout, read_annotations
from vbench.errors import DatasetError, FrameError
from vbench.runtime.video.sampling import linspace_positions
from vbench.runtime.video.source import ArrayFrames, FolderFrames

CASES = json.loads((Path(__file__).parents[2] / "golden" / "dataset_cases.json").read_text())["cases"]
NAMES = {"minikinetics": MINIKINETICS, "activitynet1.3": ACTIVITYNET}
CSV = "label,youtube_id,time_start,time_end,split,is_cc\n"
ERRORS = {
    "minikinetics_comma_in_label": r"kinetics_val\.csv, line 2: expected 6 fields, got 7 in '\"yoga, slow\",",
    "minikinetics_unknown_class_in_split": r"kinetics_val\.csv, line 2: label 'polo' of video a_.*classes\.txt",
}


def write_data(root: Path, layout: FrameExitLayout, split: str, labels: str, classes: str) -> Path:
    root.mkdir(exist_ok=True)
    for names, text in ((layout.split_names, split), (layout.label_names, labels), (layout.class_names, classes)):
        (root / names[0]).write_text(text)
    return root


def write_frames(root: Path, key: str, names: list[str]) -> None:
    folder = root / "frames" / key
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()


def write_case(root: Path, case: dict[str, Any]) -> FrameExitLayout:
    layout = NAMES[case["dataset"]]
    write_data(root, layout, case["split"], case["label_file"], case["class_file"])
    for key, names in case["frames"].items():
        write_frames(root, key, names)
    return layout


def small(root: Path, labels: str = "yoga,a,1,11,val,0\n", classes: str = "polo\nyoga\n", frames: bool = True) -> Path:
    write_data(root, MINIKINETICS, "a_000001_000011.mp4\n", CSV + labels, classes)
    if frames:
        write_frames(root, "a_000001_000011.mp4", ["frame_0001.jpeg"])
    return root


def sampled_names(video: Video) -> list[str]:
    source = video.open()
    assert isinstance(source, FolderFrames)
    return [source.names[position] for position in linspace_positions(len(source), 10)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_cases_of_the_original(case: dict[str, Any], tmp_path: Path) -> None:
    layout = write_case(tmp_path, case)
    expected = case["expected"]
    if "error" in expected:
        with pytest.raises(DatasetError, match=ERRORS[case["name"]]):
            load_dataset(layout.name, tmp_path)
        return
    dataset = load_dataset(layout.name, tmp_path)
    assert len(read_annotations(layout, tmp_path).split) == expected["number_of_videos"]
    assert [video.key for video in dataset.videos] == [item["video"] for item in expected["items"]]
    for video, item in zip(dataset.videos, expected["items"]):
        assert sampled_names(video) == item["frames"]
        if "label_error" in item:
            with pytest.raises(DatasetError, match=rf"{item['video']} has no label in .*kinetics_val\.csv"):
                label_row(video, 200)
        else:
            assert np.flatnonzero(label_row(video, 200)).tolist() == item["classes"]


def test_videos_without_frames_are_counted(tmp_path: Path) -> None:
    write_case(tmp_path, CASES[0])
    dataset = load_dataset("minikinetics", tmp_path)
    assert {video.key: video.reason for video in dataset.left_out} == {
        "empty_000001_000011.mp4": "no .jpeg files in its frame folder",
        "jpgonly_000001_000011.mp4": "no .jpeg files in its frame folder",
        "missing_000001_000011.mp4": "no frame folder",
    }
    assert (dataset.metric, dataset.first_threshold) == ("top1", 0.95)


def test_a_network_with_too_few_classes(tmp_path: Path) -> None:
    video = load_dataset("minikinetics", small(tmp_path)).videos[0]
    with pytest.raises(DatasetError, match="has class 1, but the network has only 1 classes"):
        label_row(video, 1)


@pytest.mark.parametrize("kind", ["split", "label", "class"])
def test_a_missing_file_is_named(tmp_path: Path, kind: str) -> None:
    names = {"split": "split.txt", "label": "kinetics_val.csv", "class": "classes.txt"}
    (small(tmp_path) / names[kind]).unlink()
    with pytest.raises(DatasetError, match=rf"no {kind} file for minikinetics; put one of .*{names[kind]}"):
        load_dataset("minikinetics", tmp_path)
    found = check_data("minikinetics", tmp_path)
    assert [file.kind for file in found.missing_files] == [f"{kind} file"]
    assert not found.complete


def test_unknown_class_outside_the_split_is_no_error(tmp_path: Path) -> None:
    root = small(tmp_path, labels="yoga,a,1,11,val,0\nchess,b,1,11,val,0\n")
    assert len(load_dataset("minikinetics", root).videos) == 1
    assert check_data("minikinetics", root).complete


def test_check_names_what_is_missing(tmp_path: Path) -> None:
    root = small(tmp_path, labels="chess,a,1,11,val,0\n", frames=False)
    (root / "split.txt").write_text("a_000001_000011.mp4\nb_000001_000011.mp4\n")
    found = check_data("minikinetics", root)
    assert (found.videos, found.ready, found.complete) == (2, 0, False)
    assert found.missing == ("a_000001_000011.mp4", "b_000001_000011.mp4")
    assert found.unlabelled == ("b_000001_000011.mp4",)
    assert found.unknown_classes == ("chess",)


def test_no_frames_at_all(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none of the 1 videos .* run 'vbench data prepare minikinetics"):
        load_dataset("minikinetics", small(tmp_path, frames=False))


def test_a_key_that_is_a_path(tmp_path: Path) -> None:
    root = small(tmp_path)
    (root / "split.txt").write_text("\n../secret.mp4\n")
    with pytest.raises(DatasetError, match=r"split\.txt, line 2: '\.\./secret\.mp4' is not a video key"):
        load_dataset("minikinetics", root)


@pytest.mark.parametrize("name", ["split.txt", "classes.txt", "kinetics_val.csv"])
def test_files_that_are_not_text(tmp_path: Path, name: str) -> None:
    (small(tmp_path) / name).write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(DatasetError, match=rf"{name} is not UTF-8 text"):
        load_dataset("minikinetics", tmp_path)


@pytest.mark.parametrize(("name", "message"), [("split.txt", "lists no videos"), ("classes.txt", "has no class names")])
def test_empty_files(tmp_path: Path, name: str, message: str) -> None:
    (small(tmp_path) / name).write_text("\n")
    with pytest.raises(DatasetError, match=message):
        load_dataset("minikinetics", tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ("[]", "holds a list, not an object"),
        ('{"database": {"x": {"subset": "validation"}}}', "entry 'x' lacks"),
        ('{"database": {"x": {"subset": "testing", "annotations": []}}}', "no validation entries"),
    ],
)
def test_bad_activitynet_labels(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "labels.json").write_text(text)
    (tmp_path / "classes.txt").write_text("Archery\n")
    with pytest.raises(DatasetError, match=message):
        load_dataset("activitynet", tmp_path)


def test_list_lines_and_bare_ids_map_to_keys(tmp_path: Path) -> None:
    root = small(tmp_path, labels="yoga,a_b-c,1,11,val,0\nyoga,d,2,12,val,0\n")
    (root / "split.txt").unlink()
    (root / "mini_val_videofolder.txt").write_text("images/val/air drumming/a_b-c_000001_000011 60 0\nd 299 1\n")
    assert read_annotations(MINIKINETICS, root).split == ("a_b-c_000001_000011.mp4", "d_000002_000012.mp4")


def test_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VBENCH_DATA", raising=False)
    with pytest.raises(DatasetError, match="--data DIR, or set VBENCH_DATA"):
        load_dataset("minikinetics")
    small(tmp_path / "minikinetics")
    monkeypatch.setenv("VBENCH_DATA", str(tmp_path))
    assert len(load_dataset("minikinetics").videos) == 1
    with pytest.raises(DatasetError, match="activitynet is not a folder"):
        load_dataset("activitynet")
    with pytest.raises(DatasetError, match=r"minikinetics, activitynet, hvu, hvu_train, sthv1, .*folder, demo"):
        load_dataset("kinetics600", tmp_path)


def test_folder(tmp_path: Path) -> None:
    save_video(tmp_path / "waving" / "b.mp4", frames=3)
    save_picture(tmp_path / "boxing" / "a" / "frame_1.png")
    (tmp_path / "boxing" / "empty").mkdir()
    (tmp_path / "boxing" / "notes.txt").touch()
    (tmp_path / "readme.txt").touch()
    dataset = load_dataset("folder", tmp_path)
    assert dataset.class_names == ("boxing", "waving")
    assert [(video.key, video.classes) for video in dataset.videos] == [("boxing/a", (0,)), ("waving/b.mp4", (1,))]
    assert [len(video.open()) for video in dataset.videos] == [1, 3]
    assert [video.key for video in dataset.left_out] == ["boxing/empty", "boxing/notes.txt"]


def test_folder_without_videos(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="one subfolder per class"):
        load_dataset("folder", tmp_path)


def test_a_folder_emptied_after_loading(tmp_path: Path) -> None:
    video = load_dataset("minikinetics", small(tmp_path)).videos[0]
    shutil.rmtree(tmp_path / "frames")
    with pytest.raises(FrameError, match="cannot list"):
        video.open()


def test_demo() -> None:
    pytest.importorskip("sklearn")
    dataset = load_dataset("demo")
    assert [video.key for video in dataset.videos[:2]] == ["digit_0000", "digit_0001"]
    assert isinstance(dataset.videos[0].open(), ArrayFrames)
    assert label_row(dataset.videos[3], 10).sum() == 1


def link(root: Path, *files: str) -> Path:
    for file in files:
        (root / Path(file).name).symlink_to(ANNOTATIONS / file)
    return root


@needs_shared
@pytest.mark.parametrize(("split", "count"), [("mini_val_videofolder.txt", 9867), ("ocsampler_val.txt", 9864)])
def test_real_minikinetics(tmp_path: Path, split: str, count: int) -> None:
    link(tmp_path, "kinetics400/kinetics_val.csv", "minikinetics/minik_classInd.txt")
    (tmp_path / "mini_val_videofolder.txt").symlink_to(ANNOTATIONS / "minikinetics" / split)
    annotations = read_annotations(MINIKINETICS, tmp_path)
    assert (len(annotations.keys), len(annotations.labels), len(annotations.class_names)) == (count, 19_906, 200)
    assert {len(annotations.classes(key) or ()) for key in annotations.keys} == {1}
    # the list's class numbers follow the class file: both must agree
    lines = (tmp_path / "mini_val_videofolder.txt").read_text().splitlines()
    numbers = [(int(line.split()[-1]),) for line in lines]
    assert [annotations.classes(key) for key in annotations.split] == numbers


@needs_shared
def test_real_activitynet(tmp_path: Path) -> None:
    link(tmp_path, "activitynet/anet_val_rebuilt.json", "activitynet/classes.txt")
    annotations = read_annotations(ACTIVITYNET, tmp_path)
    assert (len(annotations.keys), len(annotations.class_names)) == (4926, 200)
    counts = [len(annotations.classes(key) or ()) for key in annotations.keys]
    assert (min(counts), sum(count > 1 for count in counts)) == (1, 7)
    listed = (ANNOTATIONS / "activitynet" / "ocsampler_frameexit_val_multi_label.txt").read_text().splitlines()
    for line in listed:
        name, _frames, *numbers = line.split()
        assert annotations.classes(f"{name}.mp4") == tuple(sorted({int(n) for n in " ".join(numbers).split()}))
