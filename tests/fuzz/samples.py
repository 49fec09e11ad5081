"""Valid samples of everything that vbench reads, built once; every fuzzed input is a mutation of one."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

CLASSES = 5
VIDEOS_PER_CLASS = 2
KEPT_VIDEOS = 4  # in the journal of the unfinished run
SECRET = "secret"  # files outside the permitted folders start with this word


@dataclass(frozen=True)
class Samples:
    """Folder of the samples; nothing in it is changed.

    Attributes:
        root: parent of ``samples`` and of ``outside``, a folder that no command may open.
        port: a port on which the harness listens; no command may connect to it.
    """

    root: Path
    port: int = 0

    @property
    def folder(self) -> Path:
        return self.root / "samples"

    @property
    def outside(self) -> Path:
        return self.root / "outside"

    @property
    def checkpoint(self) -> Path:
        return self.folder / "frameexit_tiny.pth"

    @property
    def flexible_checkpoint(self) -> Path:
        return self.folder / "tsm.pth.tar"

    @property
    def bundle(self) -> Path:
        return self.folder / "bundles" / "tiny"

    @property
    def flexible_bundle(self) -> Path:
        return self.folder / "bundles" / "tsm"

    @property
    def data(self) -> Path:
        """A ``folder`` data set."""
        return self.folder / "data"

    @property
    def run(self) -> Path:
        """A finished run with a trace."""
        return self.folder / "runs" / "traced"

    @property
    def unfinished(self) -> Path:
        return self.folder / "runs" / "unfinished"

    @property
    def sweep(self) -> Path:
        return self.folder / "sweep.parquet"

    @property
    def policy(self) -> Path:
        return self.folder / "policy.json"

    @property
    def measurements(self) -> Path:
        return self.folder / "measurements.json"

    @property
    def videos(self) -> Path:
        """Video files of many containers and codecs."""
        return self.folder / "videos"

    @property
    def pictures(self) -> Path:
        return self.folder / "pictures"

    @cached_property
    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.bundle / "manifest.json").read_bytes())
        return found

    @cached_property
    def frames(self) -> np.ndarray:
        """Ten frames, uint8 ``[10, 32, 40, 3]``."""
        return np.random.default_rng(0).integers(0, 256, (10, 32, 40, 3), dtype=np.uint8)


def build_samples(samples: Samples) -> None:
    """Build everything in a new folder; an existing one is kept."""
    if samples.folder.exists():
        return
    partial = Samples(samples.root / ".building")
    shutil.rmtree(partial.root, ignore_errors=True)
    partial.folder.mkdir(parents=True)
    _bundles(partial)
    _pictures(partial)
    _data(partial)
    _videos(partial)
    samples.outside.mkdir(parents=True, exist_ok=True)
    _secrets(partial, samples.outside)
    # The runs record their paths, so they are made in the final folder.
    partial.folder.rename(samples.folder)
    partial.root.rmdir()
    _runs(samples)


def _bundles(samples: Samples) -> None:
    from tests.bundle_cache import cached_export
    from tests.ffn2d import authors_file, tiny
    from tests.networks import save_checkpoint, tiny_network
    from vbench.export.exporter import ExportOptions
    from vbench.models.ffn.tsm import Tsm

    save_checkpoint(tiny_network(), samples.checkpoint)
    cached_export(samples.checkpoint, samples.bundle, ExportOptions(input_size=32))
    authors_file(tiny(Tsm, True).state_dict(), samples.flexible_checkpoint)
    options = ExportOptions(input_size=32, frames=(2, 4), layout="shared")
    cached_export(samples.flexible_checkpoint, samples.flexible_bundle, options)


def _pictures(samples: Samples) -> None:
    from PIL import Image

    samples.pictures.mkdir()
    image = Image.fromarray(samples.frames[0])
    image.save(samples.pictures / "a.jpeg", quality=90)
    image.save(samples.pictures / "progressive.jpg", quality=90, progressive=True)
    image.save(samples.pictures / "a.png")
    image.save(samples.pictures / "interlaced.png", compress_level=9)


def _data(samples: Samples) -> None:
    from PIL import Image

    rng = np.random.default_rng(1)
    for label in range(CLASSES):
        for video in range(VIDEOS_PER_CLASS):
            folder = samples.data / f"class_{label}" / f"video_{label}{video}"
            folder.mkdir(parents=True)
            for number in range(3):
                frame = rng.integers(0, 64 << video, (36, 40, 3), dtype=np.uint8)
                Image.fromarray(frame).save(folder / f"frame_{number}.jpeg")


FORMATS = (
    ("h264.mp4", "libx264", {}),
    ("fragmented.mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}),
    ("mpeg4.mp4", "mpeg4", {}),
    ("mjpeg.mov", "mjpeg", {}),
    ("h264.mov", "libx264", {}),
    ("h264.mkv", "libx264", {}),
    ("vp8.webm", "libvpx", {}),
    ("mpeg4.avi", "mpeg4", {}),
    ("mjpeg.avi", "mjpeg", {}),
    ("h264.ts", "libx264", {}),
    ("mpeg2.mpg", "mpeg2video", {}),
    ("flv1.flv", "flv", {}),
)


def _videos(samples: Samples) -> None:
    import av

    samples.videos.mkdir()
    frames = np.random.default_rng(2).integers(0, 256, (24, 12, 16, 3), dtype=np.uint8).repeat(4, 1).repeat(4, 2)
    for name, codec, options in FORMATS:
        with av.open(str(samples.videos / name), "w", options=options) as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height = 64, 48
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.codec_context.gop_size = 8
            stream.codec_context.thread_count = 1
            stream.codec_context.bit_rate = 100_000
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode(None))


def _secrets(samples: Samples, outside: Path) -> None:
    """Fill the folder outside with files that hostile inputs refer to."""
    shutil.copy(samples.videos / "h264.mp4", outside / f"{SECRET}.mp4")
    shutil.copy(samples.pictures / "a.jpeg", outside / f"{SECRET}.jpeg")
    (outside / SECRET).write_bytes(bytes(range(256)) * 64)
    (outside / f"{SECRET}.json").write_text('{"schema_version": 1}')


def _runs(samples: Samples) -> None:
    from vbench.bench.datasets.options import DataOptions
    from vbench.bench.records.run_folder import RunConfig
    from vbench.bench.run.run import Progress, start_run
    from vbench.bench.sweep.operating_points import evaluate
    from vbench.bench.sweep.policy_grid import candidates
    from vbench.bench.sweep.sweep import read_sources
    from vbench.bench.sweep.sweep_file import make_sweep, write_sweep
    from vbench.runtime.load import load
    from vbench.runtime.policies.registry import write_policy

    config = RunConfig(str(samples.bundle), data=DataOptions("folder", samples.data), trace=True)
    start_run(config, samples.run, "vbench run --trace")
    sources = read_sources([samples.run])
    points = evaluate(sources[0], candidates(sources[0].trace, None, 3), lambda _done, _total: None)
    write_sweep(samples.sweep, make_sweep(sources, points[:12]))
    write_policy(samples.policy, sources[0].trace.default_policy, {"about": "a sample"})

    def interrupt(progress: Progress) -> None:
        if progress.done == KEPT_VIDEOS:
            raise KeyboardInterrupt

    plain = RunConfig(str(samples.bundle), data=DataOptions("folder", samples.data))
    try:
        start_run(plain, samples.unfinished, "vbench run", interrupt)
    except KeyboardInterrupt:
        assert not json.loads((samples.unfinished / "run.json").read_bytes())["complete"]
    network = load(samples.flexible_bundle, "ort", budget_ms=1000.0)
    network.predict(samples.frames)
    load(samples.flexible_bundle, frames=4)  # also measures the engines
    shutil.move(samples.flexible_bundle / "measurements.json", samples.measurements)


def link_tree(source: Path, target: Path) -> Path:
    """Copy a folder with hard links, which vbench does not write through: it replaces files."""
    shutil.copytree(source, target, copy_function=os.link)
    return target


def rewrite(path: Path, data: bytes) -> None:
    """Replace a file, which may be a hard link."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)
