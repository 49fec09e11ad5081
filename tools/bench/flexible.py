"""Frame-flexible networks: time, bundle size and memory per frame count, in both weight layouts, versus PyTorch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.golden.ffn2d import make_checkpoint as ffn2d
from tests.golden.ffn3d import make_checkpoint as ffn3d
from vbench.export.exporter import ExportOptions, export_checkpoint
from vbench.export.options import Layout
from vbench.runtime.load import load
from vbench.runtime.networks.base import Network
from vbench.runtime.policies.cascade import FrameCount
from vbench.runtime.scheduler.options import StreamOptions

from .measure import Contender, interleave, ratios, spread, table

_LAYOUTS: tuple[Layout, ...] = ("folded", "shared")
_MEGABYTE = 1e6
# Memory is measured in a separate process, after one clip at each loaded count.
_CHILD = """
import re, sys, numpy
from vbench.runtime.load import load
from vbench.runtime.networks.frame_counts import gray_clip
counts = [int(count) for count in sys.argv[2:]]
network = load(sys.argv[1], frames=counts[0] if len(counts) == 1 else None)
for count in counts:
    network.predict(gray_clip(network.bundle.manifest, count), frames=count)
rollup = open("/proc/self/smaps_rollup").read()
print(*(int(re.search(rf"^{name}:\\s+(\\d+) kB", rollup, re.M)[1]) for name in ("Rss", "Private_Dirty")))
"""


@dataclass(frozen=True)
class Model:
    """A network of the goldens: name, checkpoint factory and frame counts."""

    name: str
    make: Callable[[str], tuple[Any, str]]
    counts: tuple[int, ...]


MODELS = (
    Model("tsm_ffn_r50", ffn2d.checkpoint, (4, 8, 16)),
    Model("tea_ffn_r50", ffn2d.checkpoint, (4, 8, 16)),
    Model("uniformer_ffn", partial(ffn3d.checkpoint, seed=0), (4, 8, 16)),
    Model("slowfast_ffn", partial(ffn3d.checkpoint, seed=0), (16, 32, 64)),
)


def flexible(root: Path, repetitions: int) -> None:
    """Print milliseconds per clip, megabytes on disk and megabytes in memory of each network."""
    print(f"## Frame-flexible networks: one clip of normalized pixels, {repetitions} repetitions\n")
    times, memory = [], []
    for model in MODELS:
        bundles = _bundles(model, root / model.name)
        times += _times(model, bundles, repetitions)
        memory += _memory(model, bundles)
    print(
        table(
            ("network", "frames", "GMACs", "torch, ms", "ort folded, ms", "ort shared, ms", "folded against torch",
             "shared against torch", "shared against folded"), times))  # fmt: skip
    print(
        table(
            ("network", "layout", "MB on disk, three counts", "against the largest count alone",
             "MB resident, largest count (private)", "MB resident, three counts (private)"), memory))  # fmt: skip


def _bundles(model: Model, root: Path) -> dict[Layout, Path]:
    root.mkdir(parents=True)
    checkpoint = root / f"{model.name}.pth"
    torch.save(model.make(model.name)[0], checkpoint)
    options = {layout: ExportOptions(layout=layout) for layout in _LAYOUTS}
    return {layout: export_checkpoint(checkpoint, root / layout, options[layout]).path for layout in _LAYOUTS}


def _times(model: Model, bundles: dict[Layout, Path], repetitions: int) -> list[list[str]]:
    networks = {"torch": load(bundles["folded"], "torch"), **{layout: load(bundles[layout]) for layout in _LAYOUTS}}
    rows = []
    for count in model.counts:
        contenders = {name: _clip_at(network, count) for name, network in networks.items()}
        samples = interleave(contenders, repetitions)
        milliseconds = [spread([1e3 * one.wall_s for one in found]) for found in samples.values()]
        pairs = (("torch", "folded"), ("torch", "shared"), ("folded", "shared"))
        compared = [spread(ratios(samples[above], samples[below]), 2) for above, below in pairs]
        rows.append([model.name, str(count), f"{samples['folded'][0].macs / 1e9:.2f}", *milliseconds, *compared])
    return rows


def _clip_at(network: Network, count: int) -> Contender:
    size = network.bundle.manifest.preprocessing.input_size
    clip = np.random.default_rng(count).normal(size=(count, 3, size, size)).astype(np.float32)
    at_count = network.with_policy(FrameCount(count))
    return lambda: list(at_count.stream([clip], StreamOptions()))


def _memory(model: Model, bundles: dict[Layout, Path]) -> list[list[str]]:
    rows = []
    for layout, bundle in bundles.items():
        largest = export_checkpoint(
            bundle.parent / f"{model.name}.pth",
            bundle.parent / f"{layout}_one",
            ExportOptions(layout=layout, frames=model.counts[-1:]),
        ).path
        three, one = (_bytes(path) for path in (bundle, largest))
        rows.append(
            [
                model.name,
                layout,
                f"{three / _MEGABYTE:.1f}",
                f"**{three / one:.3f}x**",
                _resident(bundle, model.counts[-1:]),
                _resident(bundle, model.counts),
            ]
        )
    return rows


def _bytes(bundle: Path) -> int:
    return sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())


def _resident(bundle: Path, counts: tuple[int, ...]) -> str:
    command = [sys.executable, "-c", _CHILD, str(bundle), *map(str, counts)]
    resident, private = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return f"{int(resident) / 1e3:.0f} ({int(private) / 1e3:.0f})"
