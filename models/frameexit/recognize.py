"""Recognize FrameExit from a checkpoint's tensors: backbone, head, classes and frames."""

from __future__ import annotations

from pathlib import Path

from ..checkpoint.read import StateDict
from ..checkpoint.recognizer import NoMatch, Recognizer, Shapes, no_match, shapes_of
from ..checkpoint.strict import load_strictly
from ..registry import BACKBONES
from .backbone import Backbone
from .network import FrameExit, HeadSize

_PREFIX = "backbone."
_LOOKALIKES = (
    ("layer1.0.conv1.weight", "a plain torchvision ResNet, without FrameExit's gates and classifiers"),
    ("features.0.0.weight", "a plain torchvision EfficientNet, without FrameExit's gates and classifiers"),
)


class FrameExitRecognizer(Recognizer):
    """Recognizes FrameExit with any registered backbone."""

    title = "FrameExit"

    def recognize(self, path: Path, state: StateDict, input_size: int | None) -> FrameExit | NoMatch:
        for backbone in BACKBONES.members().values():
            state = backbone.canonical(state, _PREFIX)
        shapes = shapes_of(state)
        # Sizes are derived from the weights' first and last axes, so every weight needs an axis.
        empty = [name for name, shape in shapes.items() if name.endswith(".weight") and (not shape or 0 in shape)]
        if empty:
            return NoMatch(f"some weights have no axis or no elements ({', '.join(empty[:3])})")
        try:
            network = network_of(shapes, input_size)
        except KeyError as missing:
            names = f"its {len(shapes)} keys start with {', '.join(list(shapes)[:3])}"
            otherwise = f"not a FrameExit checkpoint, because {missing.args[0]} is missing ({names})"
            return no_match(shapes, _LOOKALIKES, otherwise)
        except (ValueError, RuntimeError):
            return NoMatch("its parameters have impossible sizes", likely=True)
        return load_strictly(path, network, state)


def network_of(shapes: Shapes, input_size: int | None) -> FrameExit:
    """Return a FrameExit network with these parameter shapes and random values.

    Raises:
        KeyError: a required parameter is missing; the key is its name.
    """
    head = HeadSize(
        hidden=shapes["mlp.layers.0.weight"][0],
        gate_widths=(shapes["exit_selector.0.conv1.weight"][0], shapes["exit_selector.0.conv2.weight"][0]),
        classes=shapes["classifiers.0.weight"][0],
        frames=sum(name.startswith("classifiers.") and name.endswith(".weight") for name in shapes),
    )
    backbone = _backbone(shapes)
    return FrameExit(
        backbone.trunk,
        backbone.features,
        head,
        name=f"frameexit_{backbone.name}",
        input_size=input_size or backbone.input_size,
        paper_gmacs_per_frame=backbone.paper_gmacs_per_frame,
        clip_input=backbone.clip_input,
    )


def _backbone(shapes: Shapes) -> Backbone:
    recognizers = list(BACKBONES.members().values())
    found = next((each for each in recognizers if f"{_PREFIX}{each.first_parameter}" in shapes), None)
    if found is None:
        raise KeyError(f"{_PREFIX}{recognizers[0].first_parameter}")
    return found.build(shapes, _PREFIX)


RECOGNIZER = FrameExitRecognizer()
