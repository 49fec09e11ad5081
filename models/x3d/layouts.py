"""Parameter names of the two public X3D layouts, facebookresearch's SlowFast and PyTorchVideo.

PyTorchVideo swapped the names of the stem's convolutions: its ``conv_t`` is the spatial one. The convolutions are
distinguished by shape, so a file in which the names are not swapped loads as well.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import torch

from ..checkpoint.read import StateDict

SPATIAL = "s1.pathway0_stem.conv_xy.weight"
_STEM_CONVOLUTIONS = ("blocks.0.conv.conv_t.weight", "blocks.0.conv.conv_xy.weight")
_STEM = {True: SPATIAL, False: "s1.pathway0_stem.conv.weight"}
_RENAMED = (
    (r"blocks\.0\.norm\.", r"s1.pathway0_stem.bn."),
    (r"blocks\.5\.pool\.pre_conv\.", r"head.conv_5."),
    (r"blocks\.5\.pool\.pre_norm\.", r"head.conv_5_bn."),
    (r"blocks\.5\.pool\.post_conv\.", r"head.lin_5."),
    (r"blocks\.5\.proj\.", r"head.projection."),
    (r"branch1_conv\.", r"branch1."),
    (r"branch1_norm\.", r"branch1_bn."),
    (r"branch2\.conv_([abc])\.", r"branch2.\1."),
    (r"branch2\.norm_([ac])\.", r"branch2.\1_bn."),
    (r"branch2\.norm_b\.0\.", r"branch2.b_bn."),
    (r"branch2\.norm_b\.1\.block\.0\.", r"branch2.se.fc1."),
    (r"branch2\.norm_b\.1\.block\.2\.", r"branch2.se.fc2."),
)
_STAGE = re.compile(r"blocks\.([1-4])\.res_blocks\.")


def is_pytorchvideo(names: Collection[str], prefix: str = "") -> bool:
    """Return whether the parameter names after ``prefix`` are those of PyTorchVideo."""
    return all(f"{prefix}{name}" in names for name in _STEM_CONVOLUTIONS)


def with_slowfast_names(state: StateDict, prefix: str = "") -> StateDict:
    """Return the tensors, with PyTorchVideo's names after ``prefix`` replaced by SlowFast's and others unchanged."""
    if not is_pytorchvideo(state, prefix):
        return state
    return {
        prefix + _slowfast_name(name.removeprefix(prefix), tensor) if name.startswith(prefix) else name: tensor
        for name, tensor in state.items()
    }


def _slowfast_name(name: str, tensor: torch.Tensor) -> str:
    if name in _STEM_CONVOLUTIONS:
        return _STEM[tensor.ndim > 2 and tensor.shape[2] == 1]
    name = _STAGE.sub(lambda match: f"s{int(match[1]) + 1}.pathway0_res", name)
    for old, new in _RENAMED:
        name = re.sub(old, new, name)
    return name
