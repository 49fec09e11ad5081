"""Full-size bundles of every network, from golden checkpoints or random weights, through the bundle cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch

from tests import ffn, x3d
from tests.bundle_cache import cached_export
from tests.golden.make_checkpoint import state_dict
from tests.networks import b3_size, noise_clips, save_checkpoint
from tests.test_flexible_golden import EXPORTED, FAST
from vbench.export.exporter import Calibration, ExportOptions, export_checkpoint
from vbench.export.options import Layout
from vbench.models.frameexit.efficientnet import efficientnet_trunk
from vbench.models.frameexit.network import FrameExit, HeadSize
from vbench.models.resnet import RESNET18, resnet_trunk
from vbench.runtime.bundle.bundle import Bundle

_HEAD = HeadSize(hidden=4096, gate_widths=(512, 64), classes=200, frames=10)


@dataclass(frozen=True)
class FullSize:
    """A full-size network and how it is exported.

    Attributes:
        save: writes the checkpoint to a folder and returns its path.
        out: name of the bundle's folder, relative to the checkpoint's.
        slots: clips in a batch of its plans.
    """

    name: str
    save: Callable[[Path], Path]
    out: str
    options: ExportOptions
    calibration: Calibration | None = None
    export_function: Callable[..., Bundle[Any]] = export_checkpoint
    slots: int = 8

    def __str__(self) -> str:
        return self.name

    def export(self, folder: Path) -> Bundle[Any]:
        """Write the checkpoint to ``folder`` and export it, or copy the cached bundle."""
        checkpoint = self.save(folder)
        out = checkpoint.parent / self.out
        return cached_export(checkpoint, out, self.options, self.calibration, self.export_function)


def _frameexit(name: str, precisions: tuple[str, ...], save: Callable[[Path], Path]) -> FullSize:
    calibration = Calibration("noise", noise_clips) if "int8-trt" in precisions else None
    return FullSize(name, save, f"bundles/{name}", ExportOptions(precisions=precisions), calibration)


def _r50(folder: Path) -> Path:
    path = folder / "frameexit_r50.pth"
    torch.save({key: torch.from_numpy(value) for key, value in state_dict(0).items()}, path)
    return path


def _random(name: str, trunk: Callable[[], torch.nn.Module], features: int, size: int) -> Callable[[Path], Path]:
    def save(folder: Path) -> Path:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = FrameExit(trunk(), features, _HEAD, name=name, input_size=size, paper_gmacs_per_frame=None)
        save_checkpoint(network.eval(), folder / f"{name}.pth")
        return folder / f"{name}.pth"

    return save


def _x3d(layout: str) -> FullSize:
    name = {"slowfast": "x3d_s", "frameexit": "frameexit_x3d_s"}[layout]
    return FullSize(name, lambda folder: x3d.save(layout, folder), f"x3d_{layout}_0", ExportOptions())


def _frame_counts(model: str, layout: Layout, counts: tuple[int, ...]) -> FullSize:
    out = "_".join(map(str, (model, layout, *counts)))
    options = ExportOptions(frames=counts, layout=layout)
    return FullSize(f"{model}, {layout}", lambda folder: ffn.save(model, folder), out, options, None, ffn.export, 2)


_ONE_PART = (
    _frameexit("frameexit_r50", ("fp32", "fp16", "int8-trt"), _r50),
    _frameexit(
        "frameexit_r18", ("fp32",), _random("frameexit_r18", lambda: resnet_trunk(RESNET18), RESNET18.features, 224)
    ),
    _frameexit(
        "frameexit_b3", ("fp32", "fp16"), _random("frameexit_b3", lambda: efficientnet_trunk(b3_size()), 1536, 300)
    ),
    _x3d("frameexit"),
    _x3d("slowfast"),
)
# For the tests: frame-flexible networks as other tests export them, because tracing one takes seconds per frame count.
NETWORKS = (
    *_ONE_PART,
    *(_frame_counts(model, layout, counts) for (model, layout), counts in (EXPORTED | FAST).items()),
)
# For docs/tensorrt.md: at all frame counts they were trained for, in both layouts.
ALL_NETWORKS = (
    *_ONE_PART,
    *(
        _frame_counts(model, layout, ffn.trained(model))
        for model in ("tsm_ffn_r18", "tsm_ffn_r50", "tea_ffn_r50", "slowfast_ffn", "uniformer_ffn")
        for layout in get_args(Layout)
    ),
)
