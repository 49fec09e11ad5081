"""Convert a matplotlib figure to SVG for inlining in an HTML page.

Identifiers must be unique within the page, so those that are referenced get the figure's prefix and the rest are
removed. Parts of a standalone file are removed too: document type, comments, metadata, and the style sheet, which would
apply to the whole page.
"""

from __future__ import annotations

import html
import io
import re
from typing import TYPE_CHECKING

from ...text import printable
from ..figures.style import figure_style, make_printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}
_STANDALONE_ONLY = re.compile(
    r"<\?xml.*?\?>|<!DOCTYPE[^>]*>|<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", re.DOTALL
)
# matplotlib escapes < and > in all text and attributes, so this matches tags only.
_TAG = re.compile(r"<[^>]+>")
_ID = re.compile(r'\sid="([^"]*)"')
_REFERENCE = re.compile(r'(href="#|url\(#)([^")]+)')
_ROOT = re.compile(r"<svg\s[^>]*>")
_VIEW_BOX = re.compile(r'viewBox="[^"]*"')


def inline_svg(figure: Figure, prefix: str, title: str) -> str:
    """Return ``figure`` as an ``<svg>`` element whose identifiers start with ``prefix``.

    ``title`` is plain text, read aloud by screen readers in place of the drawing.
    """
    text = _STANDALONE_ONLY.sub("", _drawn(figure))
    used = {name for tag in _TAG.findall(text) for _, name in _REFERENCE.findall(tag)}
    text = _TAG.sub(lambda tag: _with_prefix(tag.group(), prefix, used), text)
    view_box = _VIEW_BOX.search(text)
    label = f"{prefix}title"
    root = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'{view_box.group() if view_box else ""} role="img" aria-labeledby="{label}">'
        f'<title id="{label}">{html.escape(printable(title))}</title>'
    )
    return _ROOT.sub(lambda _: root, text, count=1).strip()


def _drawn(figure: Figure) -> str:
    out = io.StringIO()
    make_printable(figure)
    with figure_style():
        figure.savefig(out, format="svg", metadata=_METADATA)
    return out.getvalue()


def _with_prefix(tag: str, prefix: str, used: set[str]) -> str:
    """Prefix the identifiers of a tag, and drop those that are not referenced."""
    tag = _ID.sub(lambda found: f' id="{prefix}{found[1]}"' if found[1] in used else "", tag)
    return _REFERENCE.sub(lambda found: f"{found[1]}{prefix}{found[2]}", tag)
