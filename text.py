"""Make text from file names, records and class names safe to show, with one function per sink.

A name can hold anything: terminal escape sequences, line breaks that forge another row, invisible characters that make
two names look alike, bytes that are not UTF-8, or the markup of the library that draws it. Text is escaped where it is
shown, not where it is read, so a name stays exact in files and in JSON.
"""

from __future__ import annotations

import re
import unicodedata

# Significant anywhere in a cell of a Markdown table; the others matter only at the start of a line.
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~])")


def printable(text: str) -> str:
    r"""Return ``text`` on one line, with everything that has no visible form of its own as ``\xNN`` or ``\uNNNN``.

    This concerns control characters (line breaks and tabs too), format characters such as those that change the
    direction of text, line and paragraph separators, surrogates, and private and unassigned characters.
    """
    return text if text.isprintable() else "".join(map(_visible, text))


def printable_lines(text: str) -> str:
    """Return ``text`` like `printable`, with its line breaks; its parts from files must be printable already."""
    return "\n".join(map(printable, text.split("\n")))


def rich_markup(text: str) -> str:
    """Return ``text`` for a sink that interprets the markup of rich: printable, with brackets escaped."""
    from rich.markup import escape

    return escape(printable(text))


def markdown(text: str) -> str:
    """Return ``text`` for a cell of a Markdown table: printable, and without a meaning in Markdown or HTML."""
    return _MARKDOWN.sub(r"\\\1", printable(text))


def _visible(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":  # spaces of other widths
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
