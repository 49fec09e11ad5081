from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.interrupts import heed_interrupts
from tests.shared import ANNOTATIONS, CLIPS, needs_shared
from tests.videos import save_numbered, save_picture, save_video
from vbench.bench.datasets.extract_frames import ExtractionStopped, extract_video
from vbench.bench.datasets.prepare import prepare
from vbench.bench.datasets.prepared_folder import lock_frames
from vbench.cli.data import app
from vbench.errors import DatasetError, FrameError, MissingError, RunError

# Images written by ffmpeg 5.1.9 (Debian 12) at 5 per second / 256 pixels and at 1 per second / 350 pixels
COUNTS = {
    "arm_wrestling_340x256.mp4": (52, 12),
    "bt709_full_range_720p.mp4": (7, 3),
    "corrupted.mp4": (27, 7),
    "derived_odd_227x171.mp4": (12, 4),
    "derived_one_keyframe_170x128.mp4": (52, 12),
    "derived_vfr_340x256.mp4": (52, 12),
    "h264_10bit_200x200.mp4": (7, 3),
    "h265_10bit_200x200.mp4": (7, 3),
    "h265_128x128_10fps.mp4": (7, 3),
    "kinetics_test_340x256.mp4": (52, 12),
    "nasa_two_video_streams.mp4": (67, 15),
    "part_0_1s.mp4": (7, 3),
    "skeleton_1080p_vfr.mp4": (14, 4),
    "sparse_6fps.mp4": (49, 11),
    "structuralize_426x240.mp4": (52, 12),
    "ntu_S001C001P001R001A001_rgb.avi": (19, 5),
    "test_mpeg4_320x240.avi": (35, 8),
    "av1_640x360.mkv": (27, 7),
    "derived_truncated_60pct.mkv": (32, 8),
    "flipping_a_pancake.mkv": (53, 12),
    "rotate_0.mov": (2, 2),
    "rotate_90.mov": (2, 2),
    "rotate_180.mov": (2, 2),
    "rotate_270.mov": (2, 2),
    "unordered_50x50.mov": (2, 2),
}
# Size and mean gray level of the first images: they identify the selected frames
GREYS: dict[tuple[int, str], tuple[tuple[int, int], list[float]]] = {
    (5, "kinetics_test_340x256.mp4"): (
        (340, 256),
        [117.56, 115.39, 116.72, 122.89, 120.08, 118.09, 112.53, 119.61, 123.41, 113.82, 116.13, 111.97],
    ),
    (5, "derived_vfr_340x256.mp4"): (
        (340, 256),
        [117.62, 115.63, 116.9, 123.25, 120.49, 118.53, 112.68, 119.92, 123.38, 114.18, 116.3, 112.21],
    ),
    (5, "test_mpeg4_320x240.avi"): (
        (341, 256),
        [86.13, 86.2, 85.12, 84.62, 85.0, 84.1, 84.49, 83.67, 83.66, 81.57, 80.6, 80.46],
    ),
    (5, "sparse_6fps.mp4"): (
        (340, 256),
        [82.58, 86.28, 96.17, 98.41, 94.26, 97.76, 88.04, 82.28, 93.2, 96.08, 94.78, 95.85],
    ),
    (5, "rotate_90.mov"): ((256, 454), [96.78, 96.97]),
    (1, "kinetics_test_340x256.mp4"): (
        (465, 350),
        [117.5, 115.33, 112.78, 113.77, 109.32, 104.64, 105.81, 113.53, 111.94, 121.37, 115.7, 117.06],
    ),
    (1, "flipping_a_pancake.mkv"): (
        (621, 350),
        [98.34, 98.34, 118.82, 123.15, 126.8, 128.16, 124.43, 130.06, 131.34, 124.01, 117.92, 105.89],
    ),
}


@pytest.fixture(autouse=True)
def _quiet() -> None:
    av.logging.set_level(av.logging.PANIC)


def extract(video: Path, tmp_path: Path, rate: int) -> list[Path]:
    extract_video(video, tmp_path / "out", rate, {5: 256, 1: 350}[rate])
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    return sorted((tmp_path / "out").iterdir())


@needs_shared
@pytest.mark.parametrize("clip", COUNTS)
def test_as_many_pictures_as_ffmpeg(clip: str, tmp_path: Path) -> None:
    pictures = extract(CLIPS / clip, tmp_path, 5)
    assert [path.name for path in pictures] == [f"frame_{n:04d}.jpeg" for n in range(1, COUNTS[clip][0] + 1)]


@needs_shared
@pytest.mark.parametrize("clip", [clip for clip in COUNTS if clip.startswith(("rot", "h26", "kin", "derived_v"))])
def test_as_many_pictures_as_ffmpeg_at_one_a_second(clip: str, tmp_path: Path) -> None:
    assert len(extract(CLIPS / clip, tmp_path, 1)) == COUNTS[clip][1]


@needs_shared
@pytest.mark.parametrize(("rate", "clip"), GREYS)
def test_the_same_pictures_as_ffmpeg(rate: int, clip: str, tmp_path: Path) -> None:
    size, greys = GREYS[rate, clip]
    pictures = [Image.open(path) for path in extract(CLIPS / clip, tmp_path, rate)[: len(greys)]]
    assert pictures[0].size == size
    np.testing.assert_allclose([np.asarray(picture.convert("L")).mean() for picture in pictures], greys, atol=0.15)


def test_a_stopped_extraction_leaves_nothing(tmp_path: Path) -> None:
    video = save_video(tmp_path / "clip.mp4")
    answers = iter([False, False, True])
    with pytest.raises(ExtractionStopped):
        extract_video(video, tmp_path / "out" / "clip", 5, 32, lambda: next(answers))
    assert list((tmp_path / "out").iterdir()) == []


def test_a_video_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_text("text")
    with pytest.raises(FrameError, match="cannot open"):
        extract_video(tmp_path / "clip.mp4", tmp_path / "out" / "clip", 5, 32)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    video = save_video(tmp_path / "clip.mp4")
    (tmp_path / "file").touch()
    with pytest.raises(MissingError, match="cannot write"):
        extract_video(video, tmp_path / "file" / "clip", 5, 32)


def data(root: Path, names: list[str]) -> Path:
    """A Mini-Kinetics with the ids `names`, all of one class, without frames."""
    root.mkdir()
    (root / "split.txt").write_text("".join(f"{name}_000000_000010.mp4\n" for name in names))
    rows = "".join(f"yoga,{name},0,10,val,0\n" for name in names)
    (root / "kinetics_val.csv").write_text("label,youtube_id,time_start,time_end,split,is_cc\n" + rows)
    (root / "classes.txt").write_text("yoga\n")
    return root


def videos(folder: Path, names: list[str], frames: int = 12) -> Path:
    for name in names:
        save_video(folder / f"{name}_000000_000010.mp4", frames=frames)
    return folder


def test_prepare_resumes(tmp_path: Path) -> None:
    root, source = data(tmp_path / "data", ["a", "b", "c", "d"]), videos(tmp_path / "videos", ["a", "b"])
    save_video(source / "yoga" / "c_000000_000010.mkv")
    (source / "a_000000_000010.mp4").write_bytes(b"broken")
    (root / "frames" / "b_000000_000010.mp4").mkdir(parents=True)
    done: list[tuple[int, int]] = []
    first = prepare("minikinetics", source, root, workers=2, progress=lambda *counts: done.append(counts))
    assert (first.ready, first.extracted, first.missing) == (0, 2, ("d_000000_000010.mp4",))
    assert [trouble.key for trouble in first.failed] == ["a_000000_000010.mp4"]
    assert done == [(1, 3), (2, 3), (3, 3)]
    before = {path: path.stat().st_mtime_ns for path in root.glob("frames/*/*")}
    videos(source, ["a"])
    second = prepare("minikinetics", source, root, workers=1)
    assert (second.ready, second.extracted, second.failed) == (2, 1, ())
    assert before.items() <= {path: path.stat().st_mtime_ns for path in root.glob("frames/*/*")}.items()


def test_prepare_stops_at_the_limit(tmp_path: Path) -> None:
    root, source = data(tmp_path / "data", ["a", "b"]), videos(tmp_path / "videos", ["a", "b"])
    assert prepare("minikinetics", source, root, workers=1, limit=1).extracted == 1


def test_prepare_without_videos(tmp_path: Path) -> None:
    root = data(tmp_path / "data", ["a"])
    (tmp_path / "videos").mkdir()
    with pytest.raises(
        DatasetError, match=r"none of the 1 videos .* pass a folder with files such as a_000000_000010\.mp4"
    ):
        prepare("minikinetics", tmp_path / "videos", root)
    with pytest.raises(DatasetError, match="is not a folder"):
        prepare("minikinetics", tmp_path / "nowhere", root)
    with pytest.raises(DatasetError, match="needs no preparation; choose one of minikinetics, activitynet"):
        prepare("demo", tmp_path / "videos", root)


def test_all_videos_fail(tmp_path: Path) -> None:
    root = data(tmp_path / "data", ["a"])
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a_000000_000010.mp4").touch()
    with pytest.raises(DatasetError, match=r"none of the 1 videos could be extracted; a_.* is empty"):
        prepare("minikinetics", tmp_path / "videos", root, workers=1)


def start(root: Path, source: Path, setup: str = "") -> subprocess.Popen[str]:
    program = f"""
import sys, pathlib
from vbench.bench.datasets.prepared_folder import lock_frames
from vbench.bench.datasets.prepare import prepare
{setup}
try:
    prepare("minikinetics", pathlib.Path({str(source)!r}), pathlib.Path({str(root)!r}), 2)
except KeyboardInterrupt:
    sys.exit(130)
except Exception as error:
    sys.exit(f"{{type(error).__name__}}: {{error}}")
"""
    # own process group, as in a terminal, where Ctrl-C reaches the workers too
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_interrupts,
    )


def copies(folder: Path, count: int) -> tuple[Path, Path]:
    """Write a data set of ``count`` copies of a video; return its folder and the videos' folder."""
    names = [f"v{index:02d}" for index in range(count)]
    root, source = data(folder / "data", names), folder / "videos"
    first = save_video(source / f"{names[0]}_000000_000010.mp4", frames=100)
    for name in names[1:]:
        (source / f"{name}_000000_000010.mp4").hardlink_to(first)
    return root, source


def whole_or_absent(root: Path, pictures: int) -> list[str]:
    folders = [path for path in (root / "frames").iterdir() if not path.name.startswith(".partial-")]
    assert {len(list(folder.iterdir())) for folder in folders} <= {pictures}
    return [folder.name for folder in folders]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_between_videos(tmp_path: Path, sent: signal.Signals) -> None:
    root, source = copies(tmp_path, 80)
    process = start(root, source)
    wait_for(lambda: bool(list(root.glob("frames/v*"))))
    os.killpg(process.pid, sent)
    _, errors = process.communicate(timeout=60)
    present = whole_or_absent(root, 52)
    assert 0 < len(present) < 80
    if sent == signal.SIGINT:
        assert (process.returncode, errors) == (130, "")
        assert not list(root.glob("frames/.partial-*"))
    assert prepare("minikinetics", source, root, workers=2).ready == len(present)
    assert len(whole_or_absent(root, 52)) == 80
    assert not list(root.glob("frames/.partial-*"))


@pytest.mark.parametrize("sent", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_workers_end_with_a_killed_parent(tmp_path: Path, sent: signal.Signals) -> None:
    root, source = copies(tmp_path, 20)
    process = start(root, source)
    wait_for(lambda: bool(list(root.glob("frames/v*"))))
    process.send_signal(sent)
    process.wait(timeout=60)
    wait_for(lambda: not group_members(process.pid))
    process.communicate(timeout=60)
    present = whole_or_absent(root, 52)
    assert 0 < len(present) < 20
    assert not list(root.glob("frames/.partial-*"))
    assert prepare("minikinetics", source, root, workers=2).ready == len(present)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def group_members(group: int) -> list[Path]:
    """Processes of the group that are not zombies, from /proc."""
    members = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # it has ended
            continue
        if int(its_group) == group and state != "Z":
            members.append(path)
    return members


def test_a_second_preparation_is_refused(tmp_path: Path) -> None:
    root, source = data(tmp_path / "data", ["a"]), videos(tmp_path / "videos", ["a"])
    partial = root / "frames" / ".partial-abc"
    with lock_frames(root / "frames"):
        partial.mkdir()
        with pytest.raises(RunError, match=r"another 'vbench data prepare' is writing to .*frames; wait for it"):
            prepare("minikinetics", source, root, workers=1)
        assert partial.is_dir()
    assert not partial.exists()
    assert prepare("minikinetics", source, root, workers=1).extracted == 1


def test_extensions_match_in_any_case(tmp_path: Path) -> None:
    root, source = data(tmp_path / "data", ["a", "b"]), videos(tmp_path / "videos", ["a", "b"])
    (source / "a_000000_000010.mp4").rename(source / "a_000000_000010.MP4")
    (source / "b_000000_000010.mp4").rename(source / "b_000000_000010.Mkv")
    (source / "._a_000000_000010.MP4").write_bytes(b"companion")
    assert prepare("minikinetics", source, root, workers=1).extracted == 2


def test_unusable_videos_do_not_stop_the_others(tmp_path: Path) -> None:
    long = "x" * 242  # the longest name for which the video's file can exist
    root = data(tmp_path / "data", ["a", "b", "c", "d", long[:233]])
    source = videos(tmp_path / "videos", ["a", "d", long[:233]])
    (source / "yoga").mkdir()
    (source / "yoga" / "a_000000_000010.MKV").touch()
    os.mkfifo(source / "b_000000_000010.mp4")
    clip = save_numbered(source / "c_000000_000010.mp4")
    whole = clip.read_bytes()
    frames = slice(whole.index(b"mdat") + 4, whole.index(b"moov") - 4)
    clip.write_bytes(whole[: frames.start] + bytes(frames.stop - frames.start) + whole[frames.stop :])
    (root / "frames" / "d_000000_000010.mp4").mkdir(parents=True)
    (root / "frames" / "d_000000_000010.mp4" / "notes.txt").touch()
    summary = prepare("minikinetics", source, root, workers=1)
    assert summary.extracted == 1
    reasons = [problem.reason for problem in summary.failed]
    assert [problem.key[0] for problem in summary.failed] == ["a", "b", "c", "d"]
    assert "several files have the video's name" in reasons[0]
    assert all(name in reasons[0] for name in ("a_000000_000010.mp4", "a_000000_000010.MKV"))
    assert "is not a regular file" in reasons[1]
    assert "cannot decode any frame of" in reasons[2]
    assert "exists but contains no frames" in reasons[3]
    assert not list(root.glob("frames/.partial-*"))


def test_planted_links_are_not_followed(tmp_path: Path) -> None:
    root, source = data(tmp_path / "data", ["a"]), videos(tmp_path / "videos", ["a"])
    (root / "frames").mkdir()
    target = tmp_path / "target"
    target.mkdir()
    (target / "kept").touch()
    for name in (".partial-a_000000_000010.mp4", ".partial-x"):
        (root / "frames" / name).symlink_to(target)
    assert prepare("minikinetics", source, root, workers=1).extracted == 1
    assert [path.name for path in target.iterdir()] == ["kept"]


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        extract_video(save_video(tmp_path / "clip.mp4"), tmp_path / "out", 5, 32)
    finally:
        os.umask(before)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o750


def test_images_of_a_concurrent_process_are_kept(tmp_path: Path) -> None:
    video = save_video(tmp_path / "clip.mp4")
    save_picture(tmp_path / "out" / "frame_0001.jpeg")
    extract_video(video, tmp_path / "out", 5, 32)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["frame_0001.jpeg"]


def test_full_disk(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    root, source = data(tmp_path / "data", ["a"]), videos(tmp_path / "videos", ["a"])
    setup = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))"
    _, errors = start(root, source, setup).communicate(timeout=60)
    assert errors.startswith("MissingError: cannot write ")
    assert "free disk space" in errors
    assert list((root / "frames").iterdir()) == []


@needs_shared
def test_real_clips_under_names_of_the_real_list(tmp_path: Path) -> None:
    root, source = tmp_path / "data", tmp_path / "videos"
    root.mkdir()
    source.mkdir()
    for name in ("kinetics400/kinetics_val.csv", "minikinetics/minik_classInd.txt"):
        (root / Path(name).name).symlink_to(ANNOTATIONS / name)
    lines = (ANNOTATIONS / "minikinetics" / "mini_val_videofolder.txt").read_text().splitlines()[:4]
    (root / "mini_val_videofolder.txt").write_text("\n".join(lines))
    clips = ("part_0_1s.mp4", "corrupted.mp4", "derived_empty.mp4", "flipping_a_pancake.mkv")
    for line, clip in zip(lines, clips):
        stem = line.split("/")[-1].split()[0]
        (source / f"{stem}{Path(clip).suffix}").symlink_to(CLIPS / clip)
    runner = CliRunner()
    arguments = ["minikinetics", "--data", str(root)]
    done = runner.invoke(app, ["prepare", *arguments, "--videos", str(source), "--workers", "2"])
    assert (done.exit_code, done.exception) == (0, None)
    assert "3 videos extracted (87 pictures), 0 already present" in done.stdout
    assert "1 damaged" in done.stdout
    assert "1 failed" in done.stdout
    checked = runner.invoke(app, ["check", *arguments, "--json"])
    report = json.loads(checked.stdout)
    assert checked.exit_code == 4
    assert (report["videos"], report["ready"], len(report["missing"])) == (4, 3, 1)


def test_check_of_a_complete_folder(tmp_path: Path) -> None:
    root = data(tmp_path / "data", ["a"])
    save_picture(root / "frames" / "a_000000_000010.mp4" / "frame_0001.jpeg")
    done = CliRunner().invoke(app, ["check", "minikinetics", "--data", str(root)])
    assert done.exit_code == 0
    assert "1 videos in the split, 1 ready" in done.stdout


def test_check_names_the_accepted_files(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["check", "activitynet", "--data", str(tmp_path)])
    assert done.exit_code == 4
    assert "activity_net.v1-3.min.json, labels.json, anet_val_rebuilt.json" in done.stdout
