"""From a checkpoint to the network that it holds: backbone, sizes, classes and frames are found from the parameters.

Loading is strict. Missing, surplus and misshaped parameters are named, and a file that holds some other well-known
network is told by name. Which network a file holds follows from its parameters' names.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from ...errors import CheckpointError
from ..ffn.base import FrameFlexible
from ..ffn.tea import Tea
from ..ffn.tsm import Tsm
from ..frameexit.efficientnet import efficientnet_size, efficientnet_trunk
from ..frameexit.network import FrameExit, HeadSize
from ..resnet import resnet_size, resnet_trunk
from .read import StateDict, read_state_dict
from .recognize_ffn2d import recognise_tsm
from .recognize_ffn3d import family_of, ffn3d_network
from .strict import require_fit

Network = FrameExit | FrameFlexible

# Giga multiply-accumulates per frame that the paper counts, whatever the input size (its code has the numbers fixed).
PAPER_GMACS_PER_FRAME = {"resnet50": 4.12, "efficientnet": 1.8}
_BACKBONE = "backbone."
_GIVE = "give a checkpoint of FrameExit, TSM, TEA, SlowFast or Uniformer"
_LOOKS_LIKE = (
    ("base_model.", "a TSM, TEA or Frame Flexible Network checkpoint with whole stages missing"),
    ("patch_embed1.", "a Uniformer checkpoint with whole stages missing"),
    ("blocks1.0.", "a Uniformer checkpoint with whole stages missing"),
    ("s1.pathway0_stem.", "a network of SlowFast's slow pathway alone (Slow, C2D, I3D) or X3D"),
    ("layer1.0.conv1.weight", "a plain torchvision ResNet, without FrameExit's gates and classifiers"),
    ("features.0.0.weight", "a plain torchvision EfficientNet, without FrameExit's gates and classifiers"),
    ("slow_path.", "a SlowFast checkpoint of another library than the authors'"),
    ("patch_embed.", "a video transformer such as MViT"),
)


def load_network(path: Path, input_size: int | None = None) -> Network:
    """Return the network of the checkpoint at ``path`` in evaluation mode, on the CPU, in float32.

    Args:
        path: a checkpoint as the authors publish it.
        input_size: height and width of the network's input; None takes the backbone's customary one (224; 300 for
            EfficientNet, where the paper's cost is counted; 256 for SlowFast).

    Raises:
        CheckpointError: the file cannot be read or holds none of the networks.
    """
    state = _with_children_names(read_state_dict(path))
    if family_of(state):
        return ffn3d_network(path, state, input_size)
    network = _build(path, state, input_size)
    require_fit(path, network.name, state, network.state_dict())
    # A network of the meta device takes the very tensors of the file.
    network.load_state_dict(state, assign=True)
    return network.eval()


def _with_children_names(state: StateDict) -> StateDict:
    """Accept ``backbone.features.`` (torchvision's own name) for ``backbone.0.`` (its place among the children)."""
    alias = f"{_BACKBONE}features."
    return {
        f"{_BACKBONE}0." + name.removeprefix(alias) if name.startswith(alias) else name: tensor
        for name, tensor in state.items()
    }


def _build(path: Path, state: StateDict, input_size: int | None) -> FrameExit | Tsm | Tea:
    # Sizes are read off the weights' first and last axes, so that every weight must have some.
    shapes = {name: tensor.shape for name, tensor in state.items()}
    empty = [name for name, shape in shapes.items() if name.endswith(".weight") and (not shape or 0 in shape)]
    if empty:
        raise CheckpointError(f"{path}: weights without any axis or element ({', '.join(empty[:3])})", _GIVE)
    try:
        return recognise_tsm(state, input_size) or _network(shapes, input_size)
    except KeyError as missing:
        raise CheckpointError(*_not_frameexit(path, shapes, str(missing.args[0]))) from None
    except (ValueError, RuntimeError):
        raise CheckpointError(f"{path}: its parameters have sizes that no network can have", _GIVE) from None


def _network(shapes: Mapping[str, torch.Size], input_size: int | None) -> FrameExit:
    head = HeadSize(
        hidden=shapes["mlp.layers.0.weight"][0],
        gate_widths=(shapes["exit_selector.0.conv1.weight"][0], shapes["exit_selector.0.conv2.weight"][0]),
        classes=shapes["classifiers.0.weight"][0],
        frames=sum(name.startswith("classifiers.") and name.endswith(".weight") for name in shapes),
    )
    if f"{_BACKBONE}0.0.0.weight" in shapes:
        efficient = efficientnet_size(shapes, _BACKBONE)
        trunk, name, features, usual_size = efficientnet_trunk(efficient), efficient.name, efficient.features, 300
    else:
        residual = resnet_size(shapes, _BACKBONE)
        trunk, name, features, usual_size = resnet_trunk(residual), residual.name, residual.features, 224
    return FrameExit(
        trunk,
        features,
        head,
        name=f"frameexit_{name}",
        input_size=input_size or usual_size,
        paper_gmacs_per_frame=PAPER_GMACS_PER_FRAME.get(name.split("_")[0]),
    )


def _not_frameexit(path: Path, shapes: Mapping[str, torch.Size], missing: str) -> tuple[str, str]:
    for beginning, description in _LOOKS_LIKE:
        if any(name.startswith(beginning) for name in shapes):
            return f"{path}: looks like {description}", _GIVE
    names = ", ".join(list(shapes)[:3])
    return (
        f"{path}: not a FrameExit checkpoint, {missing} is missing (its {len(shapes)} keys start with {names})",
        _GIVE,
    )
