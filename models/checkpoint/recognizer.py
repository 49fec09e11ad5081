"""Recognizers: each knows one kind of network from the names and shapes of a checkpoint's tensors.

Nothing in the authors' files says which network they hold. A recognizer either returns the network with the file's
values, or says why the file is of another one, or raises where the file is clearly meant for its network but damaged.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import torch

from ..network import Network
from .read import StateDict

Shapes = dict[str, torch.Size]


class NoMatch(NamedTuple):
    """Why a file is not of a recognizer's network; ``likely`` if this is what the user should hear first."""

    reason: str
    likely: bool = False


class Recognizer(ABC):
    """Knows one kind of network; ``title`` is what an error calls it."""

    title: str

    @abstractmethod
    def recognize(self, path: Path, state: StateDict, input_size: int | None) -> Network | NoMatch:
        """Return the network that ``state`` holds, with the very tensors of ``state``, in evaluation mode.

        Args:
            path: the file that ``state`` was read from, for errors.
            state: its tensors by name, on the CPU.
            input_size: height and width of the network's input; None takes the authors'.

        Raises:
            CheckpointError: it is meant for this network, but a tensor is missing, unexpected, misshaped or not finite.
        """


def no_match(names: Collection[str], prefixes: Collection[tuple[str, str]], otherwise: str) -> NoMatch:
    """Return the description of the first of ``prefixes`` that a name has, else the reason ``otherwise``."""
    for beginning, description in prefixes:
        if any(name.startswith(beginning) for name in names):
            return NoMatch(f"looks like {description}", likely=True)
    return NoMatch(otherwise)


def shapes_of(state: StateDict) -> Shapes:
    """Return the shapes of all tensors by name."""
    return {name: tensor.shape for name, tensor in state.items()}
