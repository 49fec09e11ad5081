"""The networks of the benchmarks: full-size checkpoints of the goldens, exported with clips of the goldens.

An export runs in a process of its own, because it takes memory and may fail; a precision that cannot be exported is
left out if fp32 can.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tests.golden.ffn2d import make_clips as ffn2d
from tests.golden.make_clips import uint8_clip
from vbench.errors import CheckError

if TYPE_CHECKING:
    from vbench.export.exporter import Calibration

_CALIBRATION_CLIPS = range(100, 116)
_HEIGHT, _WIDTH = 256, 320  # storage size of FrameExit's data sets
_EXPORT_LIMIT_S = 1800
_CODE = "import sys; sys.path[:] = {path!r}; from {package}.networks import export; export({name!r}, {work!r}, {precisions!r})"  # noqa: E501


@dataclass(frozen=True)
class GoldenNetwork:
    """A network of the goldens.

    Attributes:
        precisions: what to export for a CPU; ``gpu_precisions`` for a GPU.
        clips: number of clips to measure with.
        minutes: longest time of its benchmark.
    """

    name: str
    title: str
    precisions: tuple[str, ...]
    gpu_precisions: tuple[str, ...]
    clips: int
    minutes: float


NETWORKS = (
    GoldenNetwork("frameexit_r50", "FrameExit ResNet-50", ("fp32", "int8"), ("fp32", "fp16"), 16, 20),
    GoldenNetwork("tsm_ffn_r50", "TSM ResNet-50 as a Frame Flexible Network", ("fp32", "int8"), ("fp32",), 6, 20),
    GoldenNetwork("uniformer_ffn", "Uniformer-S as a Frame Flexible Network", ("fp32", "int8"), ("fp32",), 4, 25),
    GoldenNetwork("slowfast_ffn", "SlowFast-R50 as a Frame Flexible Network", ("fp32", "int8"), ("fp32",), 2, 35),
)


def draw_clip(name: str, index: int) -> NDArray[np.uint8]:
    """Return a clip of the goldens as a video, RGB ``[frames, 256, 320, 3]``.

    FrameExit's has the ten frames that the network reads, a frame-flexible network's all 40 that it samples from.
    """
    frames = uint8_clip(0, index) if name.startswith("frameexit") else ffn2d.video(index, _HEIGHT, _WIDTH)
    return np.asarray(frames, np.uint8)


def prepare_bundle(network: GoldenNetwork, precisions: tuple[str, ...], work: Path) -> Path:
    """Return the network's bundle in ``work/bundles``, exported unless it is there.

    Raises:
        CheckError: the export failed; the message states the reason.
    """
    bundle, error = work / "bundles" / network.name, ""
    for chosen in dict.fromkeys((precisions, ("fp32",))):
        if bundle.exists():
            return bundle
        print(f"exporting {network.name} in {' and '.join(chosen)}", file=sys.stderr, flush=True)
        error = _run_export(network.name, work, chosen)
        if error:
            print(f"the export failed: {error}", file=sys.stderr, flush=True)
    if not bundle.exists():
        raise CheckError(f"{network.name} cannot be exported here: {error}", "export it elsewhere, see docs/gpu.md")
    return bundle


def _run_export(name: str, work: Path, precisions: tuple[str, ...]) -> str:
    """Export in another process and return the last line of its error; "" if it succeeds."""
    code = _CODE.format(path=sys.path, package=__package__, name=name, work=str(work), precisions=precisions)
    try:
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=_EXPORT_LIMIT_S)
    except subprocess.TimeoutExpired:
        return f"it did not finish within {_EXPORT_LIMIT_S} s"
    if ended.returncode == 0:
        return ""
    return next(reversed(ended.stderr.strip().splitlines()), f"exit code {ended.returncode}")


def export(name: str, work: str, precisions: tuple[str, ...]) -> None:
    """Write a checkpoint of the goldens to ``work`` unless it is there, and export it; requires torch."""
    from vbench.export.exporter import ExportOptions, export_checkpoint

    checkpoint = Path(work) / f"{name}.pth"
    if not checkpoint.exists():
        _save(name, checkpoint)
    calibration = _calibration() if any(one.startswith("int8") for one in precisions) else None
    options = ExportOptions(precisions=precisions)
    export_checkpoint(checkpoint, Path(work) / "bundles" / name, options, calibration=calibration)


def _calibration() -> Calibration:
    from vbench.export.exporter import Calibration

    def clips(frames: int, _sampling: str) -> Iterator[Sequence[NDArray[np.uint8]]]:
        return (uint8_clip(0, index, frames=frames) for index in _CALIBRATION_CLIPS)

    return Calibration("golden clips 100 to 115", clips)


def _save(name: str, path: Path) -> None:
    import torch

    from tests.golden.ffn2d import make_checkpoint as ffn2d
    from tests.golden.ffn3d import make_checkpoint as ffn3d
    from tests.golden.make_checkpoint import state_dict

    models = {**dict.fromkeys(ffn2d.MODELS, ffn2d.checkpoint), **dict.fromkeys(ffn3d.MODELS, ffn3d.checkpoint)}
    if name in models:
        torch.save(models[name](name)[0], path)
    elif name != "frameexit_r50":
        raise ValueError(f"the goldens have no network {name}")
    else:
        torch.save({key: torch.from_numpy(value) for key, value in state_dict(0).items()}, path)
