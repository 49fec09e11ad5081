"""Choices of an export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ..errors import UsageError
from ..runtime.networks.family import DatasetDefaults
from .graph.torch_to_onnx import DEFAULT_OPSET, OPSETS

Layout = Literal["folded", "shared"]


@dataclass(frozen=True)
class ExportOptions:
    """Choices of an export; None takes the network's or the authors' default.

    Attributes:
        precisions: precisions to make, see ``precision.recipes.PRECISIONS``; the 8-bit ones need a calibration.
        input_size: side of the network's square input in pixels.
        opset: ONNX operator set.
        max_error: tolerance of the numerical check of fp32, see ``verify``.
        first_threshold: FrameExit: the bundle's default confidence for an exit at step 1.
        dataset: FrameExit: the data set that the network is for, which recommends that confidence.
        frames: frame-flexible networks: the frame counts to make parts for; None: those that the network was trained
            with, where the checkpoint tells.
        layout: frame-flexible networks: norms and adaptations ``folded`` into the convolutions of each frame count, or
            separate so that the convolutions are ``shared``; None: folded.
        class_names: file with one class name a line, in the order of the classifiers' outputs.
        force: replace a bundle that is there already.
    """

    precisions: tuple[str, ...] = ("fp32",)
    input_size: int | None = None
    opset: int = DEFAULT_OPSET
    max_error: float = 1e-4
    first_threshold: float | None = None
    dataset: DatasetDefaults | None = None
    frames: tuple[int, ...] | None = None
    layout: Layout | None = None
    class_names: Path | None = None
    force: bool = False

    def check(self) -> None:
        """Raise UsageError if a value is out of range for any network."""
        if self.opset not in OPSETS:
            raise UsageError(f"opset {self.opset} is not supported", f"choose {OPSETS[0]} to {OPSETS[-1]}")
        if self.input_size is not None and self.input_size < 32:
            raise UsageError(
                f"input size {self.input_size} is too small", "the network halves it five times: 32 or more"
            )
        self._check_first_threshold()
        if not self.max_error > 0:
            raise UsageError(f"--max-error {self.max_error:g} allows nothing", "give a positive number such as 1e-4")
        if self.layout is not None and self.layout not in get_args(Layout):
            raise UsageError(f"no weight layout {self.layout!r}", f"choose one of {', '.join(get_args(Layout))}")

    def _check_first_threshold(self) -> None:
        if self.first_threshold is None:
            return
        if not 0 <= self.first_threshold <= 1:
            raise UsageError(f"first threshold {self.first_threshold} is outside [0, 1]", "give a probability")
        if self.dataset is not None:
            raise UsageError(
                f"the first threshold {self.first_threshold} and the data set {self.dataset.name}, which recommends "
                "one, exclude each other",
                "leave one of them out",
            )
