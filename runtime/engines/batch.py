"""How many rows a batch has at most, for engines that have to be built for a number."""

from __future__ import annotations

from ..bundle.manifest import FlexibleManifest, Manifest
from ..scheduler.options import SLOTS
from .base import EngineOptions

_FRAMES = 32  # a row of FrameExit is a frame, of others a whole clip


def most_rows(manifest: Manifest, options: EngineOptions) -> int:
    """Return the most rows of a batch: a frame for each slot, or all views of a clip for each slot."""
    if isinstance(manifest, FlexibleManifest):
        return manifest.views * (SLOTS if options.slots is None else options.slots)
    return _FRAMES if options.slots is None else options.slots
