"""Recognizers: each identifies one kind of network by the names and shapes of a checkpoint's tensors.

The authors' files do not name the network they contain. A recognizer returns the network with the file's values, or the
reason why the file does not contain its kind of network; if the file clearly does but is damaged, it raises an error.
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
    """Why a file does not match a recognizer; ``likely`` reasons are reported first."""

    reason: str
    likely: bool = False


class Recognizer(ABC):
    """Recognizes one kind of network; ``title`` is its name in error messages."""

    title: str

    @abstractmethod
    def recognize(self, path: Path, state: StateDict, input_size: int | None) -> Network | NoMatch:
        """Return the network in ``state``, in evaluation mode; it shares the tensors of ``state``.

        Args:
            path: file from which ``state`` was read, for error messages.
            state: the file's tensors by name, on the CPU.
            input_size: height and width of the network's input; None selects the authors' default.

        Raises:
            CheckpointError: the file contains this kind of network, but a tensor is missing, unexpected, misshaped or
                not finite.
        """


def no_match(names: Collection[str], prefixes: Collection[tuple[str, str]], otherwise: str) -> NoMatch:
    """Return the description for the first of ``prefixes`` that a name starts with, or the reason ``otherwise``."""
    for beginning, description in prefixes:
        if any(name.startswith(beginning) for name in names):
            return NoMatch(f"looks like {description}", likely=True)
    return NoMatch(otherwise)


def shapes_of(state: StateDict) -> Shapes:
    """Return the tensor shapes by name."""
    return {name: tensor.shape for name, tensor in state.items()}
