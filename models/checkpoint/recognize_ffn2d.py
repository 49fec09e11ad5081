"""From a checkpoint's tensors to the TSM or TEA they belong to, plain or frame-flexible.

Nothing in the authors' file says which network it holds; all of it is read off names and shapes. Where the network so
found differs in more than an error can name, the published sizes are tried as well and the one with the fewest
differences is taken: one bad shape from which a size was read would otherwise make every other key look wrong.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

import torch

from ..ffn.resnet2d import FlexibleResNetSize
from ..ffn.tea import Tea, tea_size
from ..ffn.tsm import Tsm, tsm_size
from ..resnet import BY_NAME, ResNetSize
from .strict import NAMED, misfits

Kind = type[Tsm] | type[Tea]

_RESNET18 = ResNetSize("basic", (2, 2, 2, 2), (64, 128, 256, 512), stem_width=64, stem_kernel=7, expansion=1)
_RESNET50 = ResNetSize("bottleneck", (3, 4, 6, 3), (64, 128, 256, 512), stem_width=64, stem_kernel=7, expansion=4)
_RESNET101 = replace(_RESNET50, blocks=(3, 4, 23, 3))
_PUBLISHED: Mapping[Kind, tuple[ResNetSize, ...]] = {Tsm: (_RESNET50, _RESNET18, _RESNET101), Tea: (_RESNET50,)}


def recognise_tsm(state: Mapping[str, torch.Tensor], input_size: int | None = None) -> Tsm | Tea | None:
    """Return the network that ``state`` is meant for, without its values (on the meta device); None if it is another.

    Whether every key fits is the caller's to check.
    """
    if not all(any(name.startswith(f"base_model.{stage}.") for name in state) for stage in BY_NAME.stages):
        return None
    kind = Tea if any(".me." in name for name in state) else Tsm
    best: Tsm | Tea | None = None
    fewest = 0
    for size in _sizes(state, kind):
        network = _built(kind, size, input_size)
        if network is None:
            continue
        differences = sum(map(len, misfits(state, network.state_dict()).values()))
        if best is None or differences < fewest:
            best, fewest = network, differences
        if fewest <= NAMED:
            break
    return best


def _sizes(state: Mapping[str, torch.Tensor], kind: Kind) -> Iterator[FlexibleResNetSize]:
    shapes = {name: tensor.shape for name, tensor in state.items()}
    with suppress(KeyError, IndexError, ZeroDivisionError):
        yield tea_size(shapes) if kind is Tea else tsm_size(shapes)
    heads = [shapes[name] for name in ("new_fc.bias", "new_fc.weight") if shapes.get(name)]
    classes = {shape[0] for shape in heads} or {1}
    for trunk in _PUBLISHED[kind]:
        for flexible in (True, False):
            yield from (FlexibleResNetSize(trunk, count, flexible) for count in sorted(classes))


def _built(kind: Kind, size: FlexibleResNetSize, input_size: int | None) -> Tsm | Tea | None:
    # On the meta device a network has names and shapes, and costs nothing however large a damaged file makes it.
    # Layers of no channels get a warning from torch, and no network has any.
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("error")
            return kind(size, input_size)
    except (ValueError, RuntimeError, ZeroDivisionError, UserWarning):
        return None
