"""How every figure of vbench looks, and how it is written.

Readable at one column of a paper, in gray and by the color-blind: the palette is Okabe and Ito's, and no two series
differ by color alone. Nothing global is changed (no pyplot, no rcParams), so that a user's own figures stay theirs.
This module needs matplotlib: import it only where a figure is made.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from ...errors import UsageError

# Okabe & Ito 2008. Black is left to published points, and yellow out: it is too faint for a line on white paper.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
# Seven markers on six colors: 42 series before a pair repeats. Circle and triangle down belong to published points.
MARKERS = ("s", "D", "^", "P", "X", "p", "<")
WIDTH_INCHES = 6.0

# The key type differs between releases of matplotlib (str, then a list of names).
_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.labelsize": 10.0,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9.0,
    "figure.constrained_layout.use": True,
    "figure.dpi": 200.0,
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "lines.markersize": 6.5,
    "savefig.dpi": 200.0,
    # Text stays text, to be searched and edited (TrueType in the PDF, as journals ask for); the salt makes two equal
    # figures equal files.
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "vbench",
    # Names of bundles and runs are plain text: a $ in one begins no formula.
    "text.parse_math": False,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
}
# What a file says about itself, less the date: equal figures are equal files.
_METADATA: dict[str, dict[str, None]] = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
_OTHER_FORMATS = {".eps", ".gif", ".jpeg", ".jpg", ".ps", ".tif", ".tiff", ".webp"}


@contextmanager
def figure_style() -> Iterator[None]:
    """Draw in vbench's style inside the ``with`` block, and leave matplotlib as it was."""
    with matplotlib.rc_context(_STYLE):
        yield


def save(figure: Figure, out: Path) -> list[Path]:
    """Write ``figure`` as PNG, SVG and PDF next to each other, each whole or not at all; return their paths.

    Args:
        figure: what to write.
        out: where; a suffix .png, .svg or .pdf is replaced by each of the three, any other ending is part of the name.

    Raises:
        UsageError: ``out`` asks for another format, or cannot be written.
    """
    stem = _stem(out)
    targets = [stem.with_name(stem.name + suffix) for suffix in _METADATA]
    halves = [target.with_name(f".{target.name}.{os.getpid()}") for target in targets]
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        for half, target in zip(halves, targets):
            _write(figure, half, target.suffix)
        for half, target in zip(halves, targets):
            half.replace(target)
    except OSError as error:
        raise UsageError(f"{out}: cannot write the figure ({error.strerror})", "give another path with -o") from None
    finally:
        for half in halves:
            with suppress(OSError):  # the cause has been told; a second trouble would hide it
                half.unlink(missing_ok=True)
    return targets


def _stem(out: Path) -> Path:
    suffix = out.suffix.lower()
    if suffix in _OTHER_FORMATS:
        raise UsageError(f"{out}: figures are written as PNG, SVG and PDF, not {suffix[1:]}", "end the path in .png")
    return out.with_suffix("") if suffix in _METADATA else out


def _write(figure: Figure, path: Path, suffix: str) -> None:
    with figure_style():
        figure.savefig(path, format=suffix[1:], metadata=_METADATA[suffix])
