"""``python -m tools.goldens``: compare exported bundles with the originals, at every golden frame count.

Full-size networks with the checkpoints of the goldens are exported as ``vbench export`` does, in both weight layouts.
The outputs of ONNX Runtime and PyTorch for every golden clip, and the cost of every part, are compared with those of
the original code. docs/goldens.md records the output; the exit code is 1 if a value is out of tolerance.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, get_args

from tests import ffn
from vbench.export.options import ExportOptions, Layout
from vbench.runtime.bundle.bundle import Bundle
from vbench.runtime.bundle.manifest import FlexibleManifest
from vbench.runtime.load import load
from vbench.runtime.telemetry.environment import versions

_MAX_MACS_ERROR = 0.01
_MAX_GROWTH = 1.05  # of the shared layout: three frame counts versus the largest one
_MB = 1e6
_PACKAGES = ("numpy", "onnx", "onnxruntime", "torch")

Bundles = dict[Layout, Bundle[FlexibleManifest]]


class Cell(NamedTuple):
    """A table cell and whether its value is within tolerance."""

    text: str
    fine: bool

    def __str__(self) -> str:
        return self.text if self.fine else f"**{self.text}**"


def main() -> int:
    arguments = _arguments()
    found = versions()
    print(f"{', '.join(f'{name} {found[name]}' for name in _PACKAGES)}\n", flush=True)
    # A list, so that every network is checked even after a failure.
    fine = [_model(model, arguments.layouts, arguments.frames) for model in arguments.only]
    print("All within tolerance." if all(fine) else "**Out of tolerance: the figures in bold.**")
    return 0 if all(fine) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", type=lambda text: text.split(","), default=ffn.MODELS, metavar="MODEL,...")
    parser.add_argument("--layout", choices=[*get_args(Layout), "both"], default="both")
    parser.add_argument("--frames", type=lambda text: tuple(map(int, text.split(","))), metavar="T,...")
    arguments = parser.parse_args()
    if unknown := set(arguments.only) - set(ffn.MODELS):
        parser.error(f"there are no goldens of {', '.join(sorted(unknown))}; choose from {', '.join(ffn.MODELS)}")
    arguments.layouts = get_args(Layout) if arguments.layout == "both" else (arguments.layout,)
    return arguments


def _model(model: str, layouts: Sequence[Layout], frames: Sequence[int] | None) -> bool:
    """Print the report of a model and return whether all values are within tolerance."""
    counts = [count for count in ffn.counts(model) if frames is None or count in frames]
    if not counts:
        return True
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = ffn.save(model, Path(folder))
        bundles = {layout: _export(checkpoint, Path(folder, layout), layout, counts) for layout in layouts}
        cells = [*_logits_table(model, bundles, counts), *_bytes(model, bundles), *_scores(model, bundles, counts)]
    print(flush=True)
    return all(cell.fine for cell in cells)


def _export(checkpoint: Path, out: Path, layout: Layout, counts: Sequence[int]) -> Bundle[FlexibleManifest]:
    print(f"exporting {checkpoint.stem}, {layout}", file=sys.stderr, flush=True)
    return ffn.export(checkpoint, out, ExportOptions(frames=tuple(counts), layout=layout))


def _logits_table(model: str, bundles: Bundles, counts: Sequence[int]) -> list[Cell]:
    """Print the logits table. PyTorch reads the checkpoint, which is the same for all layouts, so it runs once."""
    print(f"### {model}\n\nLargest difference between a logit and the original's, {ffn.CLIPS} clips; ", end="")
    print(f"at most {ffn.tolerance(model):g} allowed.\n")
    print(f"| frames | {' | '.join(f'ort, {layout}' for layout in bundles)} | torch | MACs / original |")
    print("| --- " * (len(bundles) + 3) + "|")
    engines = [load(bundle.path, "ort") for bundle in bundles.values()]
    engines.append(load(next(iter(bundles.values())).path, "torch"))
    found = []
    for count in counts:
        cells = [_within(ffn.difference(network, model, count), ffn.tolerance(model)) for network in engines]
        cells.append(_macs([ffn.macs_ratio(bundle, model, count) for bundle in bundles.values()]))
        print(f"| {count} | {' | '.join(map(str, cells))} |", flush=True)
        found += cells
    return found


def _within(difference: float, allowed: float) -> Cell:
    return Cell(f"{difference:.1e}", difference <= allowed)


def _macs(ratios: Sequence[float]) -> Cell:
    worst = max(ratios, key=lambda ratio: abs(ratio - 1))
    return Cell(f"{100 * worst:.3f} %", abs(worst - 1) <= _MAX_MACS_ERROR)


def _bytes(model: str, bundles: Bundles) -> list[Cell]:
    sizes = [f"{layout} {ffn.bundle_bytes(bundle) / _MB:.1f} MB" for layout, bundle in bundles.items()]
    print(f"\nSize of graphs and weights for all these frame counts: {', '.join(sizes)}.", end=" ")
    shared = bundles.get("shared")
    counts = [] if shared is None else [c for c in ffn.trained(model) if c in shared.manifest.frame_counts]
    if shared is None or len(counts) < 2:
        print()
        return []
    several, alone = (ffn.bundle_bytes(shared, chosen) / _MB for chosen in (counts, counts[-1:]))
    growth = Cell(f"{several / alone:.4f} times", several <= _MAX_GROWTH * alone)
    print(f"Shared, {', '.join(map(str, counts))} frames: {several:.3f} MB, {growth} the {alone:.3f} MB of the last.")
    return [growth]


def _scores(model: str, bundles: Bundles, counts: Sequence[int]) -> list[Cell]:
    videos = [(number, count) for number, count in ffn.videos(model) if count in counts]
    if not videos:
        return []
    allowed = ffn.score_tolerance(model)
    print(
        "\nLargest difference between the score of a video, from decoded frames, and the original loader's; ",
        end="",
    )
    print(f"at most {allowed:g} allowed.\n\n| video, frames | {' | '.join(f'ort, {layout}' for layout in bundles)} |")
    print("| --- " * (len(bundles) + 1) + "|")
    networks, found = [load(bundle.path, "ort") for bundle in bundles.values()], []
    for number, count in videos:
        cells = [_within(ffn.score_difference(network, model, number, count), allowed) for network in networks]
        print(f"| {number}, {count} | {' | '.join(map(str, cells))} |")
        found += cells
    return found


if __name__ == "__main__":
    sys.exit(main())
