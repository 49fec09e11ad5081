"""Text descriptions of a bundle's input size and its origin."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...runtime.bundle.manifest import Manifest

_ORIGINS = {
    "option": "requested with --input-size",
    "checkpoint": "stated by the checkpoint",
    "record": "stated by the record next to the checkpoint",
    "default": "assumed, since neither the checkpoint nor a record next to it states one; if the network was trained "
    "at another size, export it with --input-size",
}


def input_size_text(manifest: Manifest) -> str:
    """Describe the input size and its origin, which older bundles do not record."""
    size, origin = manifest.preprocessing.input_size, manifest.source.input_size_origin
    return f"{size} x {size}" + ("" if origin is None else f", {_ORIGINS[origin]}")


def input_size_contradiction(manifest: Manifest) -> str | None:
    """Return a warning if the network was trained at a size other than the requested one."""
    size, recorded = manifest.preprocessing.input_size, manifest.source.recorded_input_size
    if recorded is None or recorded == size:
        return None
    return f"the checkpoint or its record states the input size {recorded}, but --input-size {size} was requested"
