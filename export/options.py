"""Export options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ..errors import UsageError
from ..runtime.bundle.manifest import Output
from ..runtime.policies.first_threshold import DatasetDefaults
from .graph.torch_to_onnx import DEFAULT_OPSET, OPSETS

Layout = Literal["folded", "shared"]
ClipSampling = Literal["temporal_views", "temporal_views_to_end"]


@dataclass(frozen=True)
class ExportOptions:
    """Export options; None selects the default of the network or of its authors.

    Attributes:
        precisions: precisions to write (see ``precision.recipes.PRECISIONS``); 8-bit precisions require calibration.
        input_size: side length of the network's square input, in pixels.
        opset: ONNX operator set.
        max_error: tolerance of the numerical check in fp32 (see ``verify``).
        first_threshold: FrameExit only; the bundle's default for the confidence above which step 1 exits.
        dataset: FrameExit only; the data set that the network was trained for, which provides that confidence.
        probabilities: function that turns the logits into probabilities; None selects the one for ``dataset``.
        frames: frame-flexible networks only; frame counts to export. None selects the frame counts used in training, if
            the checkpoint reveals them.
        layout: frame-flexible networks only; ``folded`` folds norms and adaptations into the convolutions of each frame
            count, ``shared`` keeps them separate so that frame counts share convolutions. None selects folded.
        gate_sets: FrameExit only; folder of gate sets written by ``vbench fit-gates``, all of which go into the bundle.
        clip_sampling: only for FrameExit with a backbone that reads clips; how the clips are spread over a video (see
            ``runtime.video.sampling.temporal_view_positions``). None selects SlowFast's rule.
        class_names: file with one class name per line, in the order of the classifier outputs.
        force: whether to replace an existing bundle.
    """

    precisions: tuple[str, ...] = ("fp32",)
    input_size: int | None = None
    opset: int = DEFAULT_OPSET
    max_error: float = 1e-4
    first_threshold: float | None = None
    dataset: DatasetDefaults | None = None
    frames: tuple[int, ...] | None = None
    layout: Layout | None = None
    gate_sets: Path | None = None
    clip_sampling: ClipSampling | None = None
    class_names: Path | None = None
    probabilities: Output | None = None
    force: bool = False

    @property
    def stated_probabilities(self) -> Output | None:
        """The manifest's entry ``probabilities``; None unless they are known to be something other than a softmax."""
        if self.probabilities is None and self.dataset is not None and self.dataset.output != "softmax":
            return self.dataset.output
        return self.probabilities

    def check(self) -> None:
        """Raise UsageError if a value is invalid for every network."""
        if self.opset not in OPSETS:
            raise UsageError(
                f"opset {self.opset} is not supported", f"choose an opset from {OPSETS[0]} to {OPSETS[-1]}"
            )
        if self.input_size is not None and self.input_size < 32:
            raise UsageError(
                f"input size {self.input_size} is too small",
                "choose 32 or more, because the network halves it five times",
            )
        self._check_first_threshold()
        if self.probabilities is not None and self.probabilities not in get_args(Output):
            raise UsageError(
                f"unknown probabilities {self.probabilities!r}", f"choose one of {', '.join(get_args(Output))}"
            )
        if not self.max_error > 0:
            raise UsageError(f"--max-error must be > 0, got {self.max_error:g}", "choose a number such as 1e-4")
        if self.clip_sampling is not None and self.clip_sampling not in get_args(ClipSampling):
            raise UsageError(
                f"unknown clip sampling {self.clip_sampling!r}", f"choose one of {', '.join(get_args(ClipSampling))}"
            )
        if self.layout is not None and self.layout not in get_args(Layout):
            raise UsageError(f"unknown weight layout {self.layout!r}", f"choose one of {', '.join(get_args(Layout))}")

    def _check_first_threshold(self) -> None:
        if self.first_threshold is None:
            return
        if not 0 <= self.first_threshold <= 1:
            raise UsageError(f"first threshold {self.first_threshold} is outside [0, 1]", "choose a value from 0 to 1")
        if self.dataset is not None:
            raise UsageError(
                f"the first threshold {self.first_threshold} cannot be combined with the data set {self.dataset.name}, "
                "which provides its own",
                "pass only one of them",
            )
