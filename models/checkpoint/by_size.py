"""Recognize a network by the size that its parameters' shapes tell.

Where the network of that size does not fit in more than an error can name, the published sizes are tried as well and
the one with the fewest differences is taken: one bad shape from which a size was read would otherwise make every other
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
    """Knows networks of one class in any size.

    Attributes:
        title: what an error calls the network.
        is_likely: whether parameters of these names are this network's.
        size: reads the size off the shapes; KeyError, IndexError or ZeroDivisionError where a shape is missing or odd.
        published: sizes to try where that one does not fit, of as many classes as the tensors have.
        build: makes the network; ValueError or RuntimeError if there is none of that size.
        lookalikes: prefixes of names of other networks that are taken for this one, and what those are.
    """

    title: str
    is_likely: Callable[[Collection[str]], bool]
    size: Callable[[Shapes], S]
    published: Callable[[StateDict], Iterable[S]]
    build: Callable[[S, int | None], Network]
    lookalikes: tuple[tuple[str, str], ...] = ()

    def recognize(self, path: Path, state: StateDict, input_size: int | None) -> Network | NoMatch:
        """Return the network of the size that ``state`` has; see `Recognizer.recognize`."""
        if not self.is_likely(state):
            return no_match(state, self.lookalikes, f"not a {self.title}")
        network = self.nearest(state, input_size)
        if network is None:
            return NoMatch(f"not a {self.title}, its parameters have sizes that no network can have", likely=True)
        return load_strictly(path, network, state)

    def nearest(self, state: StateDict, input_size: int | None = None) -> Network | None:
        """Return the network, without values (on the meta device), whose tensors differ least from ``state``."""
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
        # On the meta device a network has names and shapes, and costs nothing however large a damaged file makes it.
        # Layers of no channels get a warning from torch, and no network has any.
        try:
            with torch.device("meta"), warnings.catch_warnings():
                warnings.simplefilter("error")
                return self.build(size, input_size)
        except (ValueError, RuntimeError, ZeroDivisionError, UserWarning):
            return None


def have_prefixes(names: Collection[str], prefixes: Iterable[str]) -> bool:
    """Say whether each of ``prefixes`` is that of some name."""
    return all(any(name.startswith(beginning) for name in names) for beginning in prefixes)


def class_counts(state: Mapping[str, torch.Tensor], names: Iterable[str], default: int) -> list[int]:
    """Return the lengths of the classifier's tensors, ascending: the numbers of classes that may be right."""
    heads = [state[name].shape for name in names if name in state]
    return sorted({shape[0] for shape in heads if shape and 0 not in shape} or {default})
