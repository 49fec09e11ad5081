"""A network of the toy family: a small and a large classifier of one frame, tried in that order."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import torch
from torch import Tensor, nn

from vbench.models.checkpoint.read import StateDict
from vbench.models.checkpoint.recognizer import NoMatch, Recognizer
from vbench.models.network import Network
from vbench.models.part import Part, PartTensor
from vbench.models.preprocess.shorter_side import MEAN, STD, Preprocess, PreprocessSpec

SIZE = 16
HIDDEN = {"small": 4, "large": 32}


class _Classifier(nn.Module):
    def __init__(self, hidden: int, classes: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(3 * SIZE * SIZE, hidden)
        self.logits = nn.Linear(hidden, classes)

    def forward(self, pixels: Tensor) -> Tensor:
        out: Tensor = self.logits(torch.relu(self.hidden(pixels.flatten(1))))
        return out


class ToyNetwork(Network):
    """A cascade of two classifiers."""

    family = "toy"
    architecture = "toy"

    def __init__(self, classes: int) -> None:
        super().__init__("toy_cascade", classes, SIZE)
        self.small, self.large = (_Classifier(hidden, classes) for hidden in HIDDEN.values())

    @property
    def preprocessing(self) -> PreprocessSpec:
        resize = "shorter_side_bilinear_truncated"
        return PreprocessSpec(SIZE, SIZE, resize, ("center_half_to_even",), "rgb", MEAN, STD)

    def parts_by_name(self, names: Collection[str]) -> dict[str, Part]:
        frames = PartTensor("frames", "uint8", ("n", "height", "width", 3))
        pixels = PartTensor("pixels", "float32", ("n", 3, SIZE, SIZE))
        logits = PartTensor("logits", "float32", ("n", self.classes))
        parts = (
            Part("preprocess", Preprocess(SIZE), (frames,), pixels),
            *(Part(name, getattr(self, name).eval(), (pixels,), logits) for name in HIDDEN),
        )
        return {part.name: part for part in parts if part.name in names}


class ToyRecognizer(Recognizer):
    """Recognizes the network by its small classifier."""

    title = "toy cascade"

    def recognize(self, path: Path, state: StateDict, input_size: int | None) -> Network | NoMatch:
        bias = state.get("small.logits.bias")
        if bias is None:
            return NoMatch("it has no small classifier")
        network = ToyNetwork(len(bias))
        network.load_state_dict(state)
        return network.eval()


RECOGNIZER = ToyRecognizer()
