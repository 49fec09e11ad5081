"""The model.py of a repository: one file made of two templates, because the server has no vbench to import from."""

from __future__ import annotations

from pathlib import Path

from ...errors import VbenchError

_MARK = "# mark: from here on\n"
_HEAD = "# Made by vbench package. What it may be asked, and what it runs, stands in policy.json.\n"


def model_source(template: Path) -> str:
    """Return the model.py that a family's template (such as ``bls_frameexit.py``) stands for."""
    common, own = (path.read_text(encoding="utf-8") for path in (Path(__file__).with_name("bls_common.py"), template))
    _, mark, body = own.partition(_MARK)
    if not mark:
        raise VbenchError(f"{template.name} has lost its mark", "install vbench again")
    return _HEAD + common + body
