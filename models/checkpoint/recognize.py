"""Load the network that a checkpoint contains; `registry.NETWORKS` lists the supported networks.

The network is identified by parameter names and shapes alone. Loading is strict: errors list missing, unexpected and
misshaped parameters, and name other well-known networks that they recognize.
"""

from __future__ import annotations

from pathlib import Path

from ...errors import CheckpointError
from ..network import Network
from ..registry import NETWORKS
from .input_size import InputSize, choose_input_size, recorded_frames
from .read import StateDict, read_checkpoint
from .recognizer import NoMatch


def load_network(path: Path, input_size: int | None = None) -> Network:
    """Return the network in the checkpoint at ``path``, in evaluation mode, on the CPU, in float32.

    Args:
        path: a checkpoint in the authors' format.
        input_size: height and width of the network's input; None selects the size stated in the checkpoint or in a
            record next to it (see ``input_size.py``), or else the default (224; 256 for SlowFast; 300 for FrameExit on
            EfficientNet, the size at which the paper counts the cost).

    Raises:
        CheckpointError: the file cannot be read or contains no supported network.
    """
    return load_sized_network(path, input_size)[0]


def load_sized_network(path: Path, input_size: int | None = None) -> tuple[Network, InputSize]:
    """Return the network in the checkpoint at ``path``, and the network's input size with its origin."""
    checkpoint = read_checkpoint(path)
    size = choose_input_size(path, checkpoint.entries, input_size)
    network = network_of_state(path, checkpoint.state, size.pixels)
    network.recorded_frames = recorded_frames(checkpoint.entries)
    return network, size


def network_of_state(path: Path, state: StateDict, input_size: int | None = None) -> Network:
    """Return the network in ``state``, the tensors read from ``path``; see `load_network`.

    The first recognizer that matches determines the network. If none matches, the error comes from the first recognizer
    that found a damaged checkpoint of its own network.

    Raises:
        CheckpointError: no recognizer matches.
    """
    reasons: list[NoMatch] = []
    damaged: CheckpointError | None = None
    for recognizer in NETWORKS.members().values():
        try:
            found = recognizer.recognize(path, state, input_size)
        except CheckpointError as error:
            damaged = damaged or error
            continue
        if isinstance(found, Network):
            return found
        reasons.append(found)
    if damaged is not None:
        raise damaged
    first = next((each for each in reasons if each.likely), reasons[0])
    raise CheckpointError(f"{path}: {first.reason}", f"use a checkpoint of {_titles()}")


def _titles() -> str:
    *titles, last = [recognizer.title for recognizer in NETWORKS.members().values()]
    return f"{', '.join(titles)} or {last}" if titles else last
