"""What every engine checks before it runs a part's graph, whatever library reads it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from ..errors import BundleError
from .bundle import Bundle
from .manifest import PartSpec

_WORTH_SHARING_MACS = 20_000_000


class Found(NamedTuple):
    """A tensor as a library reports it: dtype as in the manifest; an axis that is no number is dynamic."""

    name: str
    dtype: str
    shape: tuple[object, ...]

    def __str__(self) -> str:
        axes = ", ".join(str(axis) if isinstance(axis, int) else "?" for axis in self.shape)
        return f"{self.name} {self.dtype} [{axes}]"


def worth_sharing(part: PartSpec) -> bool:
    """Say whether a part is large enough to be spread over several threads."""
    return part.macs >= _WORTH_SHARING_MACS


def graph_file(bundle: Bundle, part: str, precision: str) -> Path:
    """Return the path of a part's graph, which is unaltered and holds all of its weights.

    Raises:
        BundleError: it is missing, altered, or refers to another file.
    """
    path = bundle.part_file(part, precision)
    if b"location" in path.read_bytes():  # the key of every reference to another file, whose digest nobody checked
        raise BundleError(f"{path}: keeps weights in another file, which no manifest vouches for", "export it again")
    return path


def check_tensors(bundle: Bundle, part: str, found: Sequence[Found]) -> None:
    """Compare the inputs and the output of a graph with the manifest.

    Raises:
        BundleError: name, dtype or shape of one is another.
    """
    spec = bundle.manifest.parts[part]
    wanted = (Found(tensor.name, tensor.dtype, tensor.shape) for tensor in (*spec.inputs, spec.output))
    for want, have in zip_longest(wanted, found):
        if str(want) != str(have):
            raise BundleError(
                f"{bundle.path}: {part}: found {have or 'no tensor'}, manifest says {want or 'no more tensors'}",
                "export it again",
            )
