"""Checks that every engine performs before running a part's graph."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from ...errors import BundleError, EngineError
from ..bundle.bundle import Bundle
from ..bundle.manifest import Manifest, PartSpec, Target
from .base import EngineOptions
from .external_data import WireError, external_files

_LARGE_PART_MACS = 20_000_000
_LOCATION = b"location"  # the key in every reference to another file
_COMPILED = b"EPContext"  # an operator that refers to a compiled model in another file


class TensorInfo(NamedTuple):
    """A tensor as reported by a library, with the manifest's name for its dtype; non-integer axes are dynamic."""

    name: str
    dtype: str
    shape: tuple[object, ...]

    def __str__(self) -> str:
        axes = ", ".join(str(axis) if isinstance(axis, int) else "?" for axis in self.shape)
        return f"{self.name} {self.dtype} [{axes}]"


def is_large_part(part: PartSpec) -> bool:
    """Return whether a part is large enough to benefit from several threads."""
    return part.macs >= _LARGE_PART_MACS


def graph_files(
    bundle: Bundle[Manifest], precision: str, options: EngineOptions, target: Target | None = None
) -> dict[str, Path]:
    """Verify the parts' graphs and their weights file, and return the paths of the graphs.

    Where a part has another form for ``target``, that form is used.

    A library that loads a graph opens the external files that the graph refers to, so a graph may refer only to the
    bundle's weights file, in the same folder and with the expected digest.

    Raises:
        BundleError: a graph or the weights file is missing or altered, or a graph refers to another file.
    """
    parts = [part for part in bundle.manifest.parts if options.wants(part)]
    paths = {part: bundle.part_file(part, precision, target) for part in parts}
    weights = bundle.weights_file(precision)
    for path in paths.values():
        content = path.read_bytes()
        if _COMPILED in content:
            raise BundleError(
                f"{path} refers to a compiled model, which is not in the manifest", "export the checkpoint again"
            )
        if _LOCATION in content:
            _check_references(content, path, weights)
    return paths


def _check_references(content: bytes, graph: Path, weights: Path | None) -> None:
    """Raise BundleError if a graph refers to any file but ``weights``, or if this cannot be determined."""
    permitted = {weights.name.encode()} if weights is not None and weights.parent == graph.parent else set()
    problem = f"{graph} refers to a weights file that is not in the manifest"
    try:
        files = external_files(content)
    except WireError as error:
        raise BundleError(f"{problem}, or is damaged ({error})", "export the checkpoint again") from None
    if not files <= permitted:
        raise BundleError(problem, "export the checkpoint again")


def run_error(library: str, part: str, reason: str) -> EngineError:
    """Return the error for a part that a library can load but not run."""
    return EngineError(f"{library} cannot run {part}: {reason}", "free some memory, or export the checkpoint again")


def check_signature(bundle: Bundle[Manifest], part: str, found: Sequence[TensorInfo]) -> None:
    """Compare the inputs and the output of a graph with the manifest.

    Raises:
        BundleError: the name, dtype or shape of a tensor differs.
    """
    spec = bundle.manifest.parts[part]
    wanted = (TensorInfo(tensor.name, tensor.dtype, tensor.shape) for tensor in (*spec.inputs, spec.output))
    for want, have in zip_longest(wanted, found):
        if str(want) != str(have):
            raise BundleError(
                f"{bundle.path}: {part}: found {have or 'no tensor'}, but the manifest has {want or 'no more tensors'}",
                "export the checkpoint again",
            )
