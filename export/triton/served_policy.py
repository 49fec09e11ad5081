"""Which exit policies a server can obey, and how its ``policy.json`` has them."""

from __future__ import annotations

from typing import Any

from ...errors import UsageError
from ...runtime.policies.base import Policy
from ...runtime.policies.cascade import Cascade

_FRAMEEXIT = ("frameexit", "confidence", "entropy", "patience", "fixed", "everything")


def served_policy(policy: Policy | Cascade) -> dict[str, Any]:
    """Return the policy as ``model.py`` reads it.

    Raises:
        UsageError: it decides by a video's name, which no request has.
    """
    if isinstance(policy, Cascade):
        return {"kind": "cascade", "counts": list(policy.counts), "threshold": policy.threshold}
    record = policy.record()
    if record["kind"] not in _FRAMEEXIT:
        raise UsageError(
            f"a {record['kind']} policy decides by the video's name, which a server is not told",
            f"give one of {', '.join(_FRAMEEXIT)}",
        )
    return record
