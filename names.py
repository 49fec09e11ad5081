r"""File names as text: file names are bytes, whereas tables, JSON and terminals need Unicode.

Python represents a byte that is not UTF-8 as a lone surrogate, which no table or terminal accepts. Here, it is written
as ``\xNN`` on every machine and in every locale.
"""

from __future__ import annotations

import os
import re

_ESCAPE = re.compile(r"\\(?=x(?:5c|[89a-f][0-9a-f])|ud[89a-f][0-9a-f]{2})")  # a backslash that looks like an escape
_SURROGATE = re.compile("[\ud800-\udfff]")


def name_key(name: str) -> str:
    r"""Return a file name as valid Unicode: different names give different keys, and an ordinary name is its own key.

    Bytes that are not UTF-8 become ``\xNN``. So that no other name has the same key, a backslash that could be taken
    for the start of such an escape becomes ``\x5c``.
    """
    return valid_text(_ESCAPE.sub(r"\\x5c", _utf8(name)))


def valid_text(text: str) -> str:
    r"""Return text that contains file names, such as an error, as valid Unicode: non-UTF-8 bytes become ``\xNN``."""
    return _SURROGATE.sub(_escaped, text)


def _utf8(name: str) -> str:
    """Decode as UTF-8 a name that Python has decoded with the locale's encoding."""
    try:
        return os.fsencode(name).decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # not from the file system but from a list
        return name


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
