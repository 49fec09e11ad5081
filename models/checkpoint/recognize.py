"""From a checkpoint to the network that it holds; see `registry.NETWORKS` for those that are known.

Loading is strict. Missing, surplus and misshaped parameters are named, and a file that holds some other well-known
network is told by name. Which network a file holds follows from its parameters' names and shapes alone.
"""

from __future__ import annotations

from pathlib import Path

from ...errors import CheckpointError
from ..network import Network
from ..registry import NETWORKS
from .read import StateDict, read_state_dict
from .recognizer import NoMatch


def load_network(path: Path, input_size: int | None = None) -> Network:
    """Return the network of the checkpoint at ``path`` in evaluation mode, on the CPU, in float32.

    Args:
        path: a checkpoint as the authors publish it.
        input_size: height and width of the network's input; None takes the customary one (224; 300 for a FrameExit
            on EfficientNet, where the paper's cost is counted; 256 for SlowFast).

    Raises:
        CheckpointError: the file cannot be read or holds none of the networks.
    """
    return network_of_state(path, read_state_dict(path), input_size)


def network_of_state(path: Path, state: StateDict, input_size: int | None = None) -> Network:
    """Return the network that ``state``, read from ``path``, holds; see `load_network`.

    The first recognizer that knows it decides. Where none does, but one found that the file is meant for its network,
    the error is that one's.

    Raises:
        CheckpointError: no recognizer knows it.
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
    raise CheckpointError(f"{path}: {first.reason}", f"give a checkpoint of {_titles()}")


def _titles() -> str:
    *titles, last = [recognizer.title for recognizer in NETWORKS.members().values()]
    return f"{', '.join(titles)} or {last}" if titles else last
