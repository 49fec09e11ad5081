"""Checkpoints: reading them safely, and recognizing the networks they contain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy_exports

if TYPE_CHECKING:
    from .recognize import load_network as load_network

__getattr__ = lazy_exports(
    __name__,
    recognize=("load_network",),
)
