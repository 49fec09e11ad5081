"""Common style of all figures, and the function that writes them to files.

Figures must be legible at the width of a paper column, in grayscale and to color-blind readers: the palette is Okabe
and Ito's, and no two series differ by color alone. Global matplotlib state (pyplot, rcParams) is left untouched. This
module requires matplotlib: import it only where a figure is built.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.text import Text

from ...errors import UsageError
from ...files import whole_file
from ...text import printable_lines

# Okabe & Ito 2008. Black is reserved for published points; yellow is omitted, being too faint on white paper.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
# Seven markers and six colors: 42 series before a pair repeats. Circles and downward triangles are reserved for
# published points.
MARKERS = ("s", "D", "^", "P", "X", "p", "<")
WIDTH_INCHES = 6.0

# The key type differs between matplotlib releases (str, then a list of names).
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
    # Keep text searchable and editable (TrueType in the PDF, as journals require); the fixed salt makes the SVG
    # deterministic.
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "vbench",
    # Names of bundles and runs are plain text: a $ in one must not start a formula.
    "text.parse_math": False,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
}
# File metadata without the date, so that equal figures give equal files.
_METADATA: dict[str, dict[str, None]] = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
_OTHER_FORMATS = {".eps", ".gif", ".jpeg", ".jpg", ".ps", ".tif", ".tiff", ".webp"}


@contextmanager
def figure_style() -> Iterator[None]:
    """Apply vbench's style inside the ``with`` block, then restore matplotlib's settings."""
    with matplotlib.rc_context(_STYLE):
        yield


def save(figure: Figure, out: Path) -> list[Path]:
    """Write ``figure`` atomically as PNG, SVG and PDF; return the three paths.

    Args:
        figure: the figure to write.
        out: output path; a .png, .svg or .pdf suffix is replaced by each of the three, and any other is kept.

    Raises:
        UsageError: ``out`` names another format, or cannot be written.
        MissingError: the disk is full.
    """
    make_printable(figure)
    stem = figure_stem(out)
    targets = [stem.with_name(stem.name + suffix) for suffix in _METADATA]
    with ExitStack() as stack:
        for target in targets:
            _write(figure, stack.enter_context(whole_file(target)), target.suffix)
    return targets


def figure_stem(out: Path) -> Path:
    """Return an output path without its .png, .svg or .pdf suffix; raise UsageError if it names another format."""
    suffix = out.suffix.lower()
    if suffix in _OTHER_FORMATS:
        raise UsageError(
            f"{out}: figures are written as PNG, SVG and PDF, not {suffix[1:]}", "use a path that ends in .png"
        )
    return out.with_suffix("") if suffix in _METADATA else out


def make_printable(figure: Figure) -> None:
    """Escape the control characters in a figure's texts, because SVG may not contain them and fonts lack glyphs."""
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_text(printable_lines(text.get_text()))


def _write(figure: Figure, path: Path, suffix: str) -> None:
    with figure_style():
        figure.savefig(path, format=suffix[1:], metadata=_METADATA[suffix])
