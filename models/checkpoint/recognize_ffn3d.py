"""From a checkpoint's tensors to the SlowFast or Uniformer they belong to, plain or frame-flexible.

The authors' loader skips in silence what does not fit; here everything has to. Widths, depths, classes and branches are
read off the shapes. Where they then do not fit, the published size is tried too, and what is reported is the smaller
difference: one bad shape from which a size was read would otherwise make every other key look wrong.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch

from ...errors import CheckpointError
from ..ffn.slowfast import SlowFast, SlowFastSize, slowfast_size
from ..ffn.uniformer import Uniformer, UniformerSize, uniformer_size
from .read import StateDict
from .strict import misfits, require_fit

Family = Literal["slowfast", "uniformer"]

_CLASSES = 174  # of Something-Something V1, where the classifier does not say
_BEGINNINGS: Mapping[Family, tuple[str, ...]] = {
    "slowfast": ("s1.pathway0_stem.", "s1.pathway1_stem."),
    "uniformer": ("patch_embed1.", "blocks1.", "blocks4."),
}
_GIVE = "give a checkpoint of FFN's SlowFast or Uniformer"
_LOOKS_LIKE = (
    ("s1.pathway0_stem.", "a network of the slow pathway alone (Slow, C2D, I3D) or X3D"),
    ("base_model.", "a TSM, TEA or their frame-flexible checkpoint"),
    ("backbone.", "a FrameExit checkpoint"),
    ("patch_embed.", "a video transformer such as MViT"),
    ("layer1.0.conv1.weight", "a plain torchvision ResNet"),
)


def family_of(shapes: Mapping[str, object]) -> Family | None:
    """Return the family whose parts all have keys among ``shapes``, None if it is another network's checkpoint."""
    for family, beginnings in _BEGINNINGS.items():
        if all(any(name.startswith(beginning) for name in shapes) for beginning in beginnings):
            return family
    return None


def ffn3d_network(path: Path, state: StateDict, input_size: int | None = None) -> SlowFast | Uniformer:
    """Return the network that ``state`` holds in evaluation mode, with the very tensors of ``state``.

    Args:
        path: where ``state`` was read, for errors.
        state: the tensors under ``model_state`` of the authors' file.
        input_size: height and width of the network's input; None takes the authors' (SlowFast 256, Uniformer 224).

    Raises:
        CheckpointError: it is another network's, or a key is missing, unexpected, misshaped or not finite.
    """
    family = family_of(state)
    if family is None:
        raise CheckpointError(*_not_ffn3d(path, state))
    network = _built(_size(family, state), input_size)
    layouts = [dict(network.state_dict())] if network else []
    if network is None or misfits(state, layouts[0]):
        classes = _classes(family, state)
        layouts += [_published_layout(family, classes, flexible) for flexible in (True, False)]
    require_fit(path, family, state, min(layouts, key=lambda wanted: _difference(state, wanted)))
    assert network is not None
    network.load_state_dict(state, assign=True)
    return network.eval()


def _size(family: Family, state: StateDict) -> SlowFastSize | UniformerSize | None:
    shapes = {name: tensor.shape for name, tensor in state.items()}
    try:
        return slowfast_size(shapes) if family == "slowfast" else uniformer_size(shapes)
    except (KeyError, IndexError):
        return None


def _classes(family: Family, state: StateDict) -> int:
    head = state.get("head.projection.weight" if family == "slowfast" else "head.weight")
    return head.shape[0] if head is not None and head.numel() else _CLASSES


@functools.lru_cache(maxsize=8)
def _published_layout(family: Family, classes: int, flexible: bool) -> StateDict:
    size = SlowFastSize(classes, flexible) if family == "slowfast" else UniformerSize(classes, flexible)
    network = _built(size, None)
    assert network is not None
    return dict(network.state_dict())


def _built(size: SlowFastSize | UniformerSize | None, input_size: int | None) -> SlowFast | Uniformer | None:
    # On the meta device a network has names and shapes, and costs nothing however large a damaged file makes it.
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("error")
            if isinstance(size, SlowFastSize):
                return SlowFast(size, input_size or 256)
            return Uniformer(size, input_size or 224) if size else None
    except (ValueError, RuntimeError, ZeroDivisionError, UserWarning):
        return None


def _difference(state: StateDict, wanted: Mapping[str, torch.Tensor]) -> int:
    return sum(map(len, misfits(state, wanted).values()))


def _not_ffn3d(path: Path, state: StateDict) -> tuple[str, str]:
    for beginning, description in _LOOKS_LIKE:
        if any(name.startswith(beginning) for name in state):
            return f"{path}: looks like {description}", _GIVE
    return f"{path}: not a SlowFast or Uniformer (its {len(state)} keys start with {', '.join(list(state)[:3])})", _GIVE
