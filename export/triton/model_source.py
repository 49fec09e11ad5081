"""The model.py of a repository: one file made of two templates, because the server has no vbench to import from."""

from __future__ import annotations

from pathlib import Path

from ...errors import VbenchError

_MARK = "# mark: from here on\n"
_HEAD = "# Made by vbench package. What it may be asked, and what it runs, stands in policy.json.\n"


def model_source(template: str) -> str:
    """Return the model.py that ``template`` (``bls_frameexit``, ``bls_flexible``) stands for."""
    common, own = (_read(name) for name in ("bls_common", template))
    _, mark, body = own.partition(_MARK)
    if not mark:
        raise VbenchError(f"{template}.py has lost its mark", "install vbench again")
    return _HEAD + common + body


def _read(name: str) -> str:
    return (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
