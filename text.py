"""Make text from file names, records and class names safe to show, with one function for each kind of sink.

A name can contain anything: terminal escape sequences, line breaks that forge another row, invisible characters that
make two names look alike, bytes that are not UTF-8, or the markup of the library that draws it. Text is escaped where
it is shown, not where it is read, so a name stays exact in files and in JSON.
"""

from __future__ import annotations

import html
import re
import unicodedata

# Significant anywhere in a line of Markdown; other characters matter only at its start.
_MARKDOWN = re.compile(r"([\\`*_\[\]|~])")


def printable(text: str) -> str:
    r"""Return ``text`` on one line, with every character that has no visible form escaped as ``\xNN`` or ``\uNNNN``.

    These are control characters (including line breaks and tabs), format characters such as those that change the
    direction of text, line and paragraph separators, surrogates, and private and unassigned characters.
    """
    return text if text.isprintable() else "".join(map(_visible, text))


def printable_lines(text: str) -> str:
    """Escape ``text`` as `printable` does but keep its line breaks; parts from files must already be printable."""
    return "\n".join(map(printable, text.split("\n")))


def markdown_text(text: str) -> str:
    """Escape ``text`` so that GitHub renders it literally, without table cells, code, emphasis, links or tags."""
    return _MARKDOWN.sub(r"\\\1", html.escape(printable(" ".join(text.split())), quote=False))


def _visible(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":  # spaces of other widths
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name that is not UTF-8
        code -= 0xDC00
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
