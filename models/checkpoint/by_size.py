"""Recognize a network by the size derived from its parameter shapes.

If the network of that size differs in more tensors than an error message lists, the published sizes are tried as well,
and the one with the fewest differences is used. Without this, a size derived from one bad shape would make every other
key look wrong.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch

from ..network import Network
from .read import StateDict
from .recognizer import NoMatch, Recognizer, Shapes, no_match, shapes_of
from .strict import MAX_LISTED, load_strictly, mismatches

S = TypeVar("S")


@dataclass(frozen=True)
class SizedRecognizer(Recognizer, Generic[S]):
    """Recognizes networks of one class at any size.

    Attributes:
        title: name of the network in error messages.
        is_likely: returns whether parameters with these names are likely to belong to this network.
        size: derives the size from the shapes; raises KeyError, IndexError or ZeroDivisionError if a shape is missing
            or malformed.
        published: sizes to try if the derived one does not match; the number of classes is taken from the tensors.
        build: builds the network; raises ValueError or RuntimeError if there is no network of that size.
        lookalikes: parameter-name prefixes of similar networks, with descriptions of those networks.
    """

    title: str
    is_likely: Callable[[Collection[str]], bool]
    size: Callable[[Shapes], S]
    published: Callable[[StateDict], Iterable[S]]
    build: Callable[[S, int | None], Network]
    lookalikes: tuple[tuple[str, str], ...] = ()

    def recognize(self, path: Path, state: StateDict, input_size: int | None) -> Network | NoMatch:
        if not self.is_likely(state):
            return no_match(state, self.lookalikes, f"not a {self.title}")
        network = self.nearest(state, input_size)
        if network is None:
            return NoMatch(f"not a {self.title}, because its parameters have impossible sizes", likely=True)
        return load_strictly(path, network, state)

    def nearest(self, state: StateDict, input_size: int | None = None) -> Network | None:
        """Return the network, on the meta device (without values), whose tensors differ least from ``state``."""
        best: Network | None = None
        fewest = 0
        for size in self._sizes(state):
            network = self._build(size, input_size)
            if network is None:
                continue
            differences = sum(map(len, mismatches(state, network.state_dict()).values()))
            if best is None or differences < fewest:
                best, fewest = network, differences
            if fewest <= MAX_LISTED:
                break
        return best

    def _sizes(self, state: StateDict) -> Iterator[S]:
        with suppress(KeyError, IndexError, ZeroDivisionError):
            yield self.size(shapes_of(state))
        yield from self.published(state)

    def _build(self, size: S, input_size: int | None) -> Network | None:
        # A network on the meta device has only names and shapes, so even a damaged file cannot make it expensive.
        # torch warns about layers without channels, which no real network has.
        try:
            with torch.device("meta"), warnings.catch_warnings():
                warnings.simplefilter("error")
                return self.build(size, input_size)
        except (ValueError, RuntimeError, ZeroDivisionError, UserWarning):
            return None


def have_prefixes(names: Collection[str], prefixes: Iterable[str]) -> bool:
    """Return whether, for each of ``prefixes``, at least one name starts with it."""
    return all(any(name.startswith(beginning) for name in names) for beginning in prefixes)


def class_counts(state: Mapping[str, torch.Tensor], names: Iterable[str], default: int) -> list[int]:
    """Return possible numbers of classes in ascending order: lengths of the classifier's tensors, or ``default``."""
    heads = [state[name].shape for name in names if name in state]
    return sorted({shape[0] for shape in heads if shape and 0 not in shape} or {default})
