"""The schema of ``manifest.json``: everything that is known about a bundle without opening its graphs.

Strict on purpose: an unknown field, a missing one or a future schema version is an error, since a bundle that is half
understood would run and give wrong numbers.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

SCHEMA_VERSION: Final = 4
OLDEST_MIGRATED: Final = 3  # the oldest version that vbench migrate converts

DType = Literal["uint8", "float32", "float16", "int64"]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Fraction = Annotated[float, Field(ge=0, le=1)]
PartName = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]


class Model(BaseModel):
    """Base of all records: immutable and closed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TensorSpec(Model):
    """One input or output of a part; a string in ``shape`` names a dynamic axis."""

    name: str
    dtype: DType
    shape: tuple[int | str, ...]


class FileSpec(Model):
    """A file of the bundle: path relative to it, size and SHA-256."""

    path: Annotated[str, Field(pattern=r"^[^\x00]+$")]
    size_bytes: int
    sha256: Digest


class PartSpec(Model):
    """A subgraph: its tensors, its cost for a batch of one, and its file per precision.

    Tensors and cost are the same in every precision: casts and Q/DQ are inside the graph. Parts that no precision
    changes have the same file in all of them.
    """

    inputs: tuple[TensorSpec, ...]
    output: TensorSpec
    macs: int
    parameters: int
    files: dict[str, FileSpec]


class Preprocessing(Model):
    """What ``preprocess.onnx`` does, for people and for other tools; runtimes run the graph.

    The shorter side is resized to ``resize_side``, then squares of ``input_size`` are cut out: one, or several of which
    each is a view of the clip. ``mean`` and ``std`` are for values in [0, 1], in the order of the channels.
    """

    input_size: int
    resize_side: int
    resize: Literal["shorter_side_bilinear_truncated", "shorter_side_pillow_bilinear"]
    crops: tuple[Literal["center_half_to_even", "first", "center_half_up", "last"], ...]
    channel_order: Literal["rgb", "bgr"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class PolicySpec(Model):
    """The default exit policy: the authors' rule and its thresholds.

    Attributes:
        first_threshold: confidence above which step 1 exits, where the export was given one or a data set that
            recommends one.
        gate_threshold: gate value above which a later step exits.
        dataset: the data set that the network was exported for, where the export was given one.
    """

    kind: Literal["frameexit"] = "frameexit"
    first_threshold: Fraction | None = None
    gate_threshold: Fraction
    dataset: str | None = None


class CheckpointSource(Model):
    """The checkpoint the bundle was made from; ``path`` is relative to the bundle, for the torch engine."""

    path: str
    size_bytes: int
    sha256: Digest


class Difference(Model):
    """Largest difference of one part from PyTorch: absolute, and relative to the largest magnitude of its output."""

    absolute: float
    relative: float


class Check(Model):
    """Result of the numerical check made at export, for one precision.

    ``max_error`` is the tolerance that held, None where differences were only recorded (all precisions but fp32). Of
    ``clips``, ``exit_steps_changed`` ended at another step than with PyTorch and ``classes_changed`` in another class.
    """

    engine: str
    max_error: float | None
    parts: dict[str, Difference]
    clips: int
    exit_steps_changed: int
    classes_changed: int
    logits: Difference


class CalibrationSpec(Model):
    """What the ranges of the activations were measured on: how many frames of how many videos of a data set."""

    dataset: str
    videos: int
    frames: int
    method: str


class PrecisionSpec(Model):
    """How the graphs of a precision other than fp32 were made.

    ``parts`` were converted, all others are fp32's. ``converted`` counts their nodes that compute in the lower
    precision by operator; ``kept`` names those that do not.
    """

    parts: tuple[str, ...]
    weights: DType | Literal["int8"]
    activations: DType | Literal["int8"]
    granularity: str
    converted: dict[str, int]
    kept: dict[str, tuple[str, ...]]
    weights_flushed_to_zero: int
    calibration: CalibrationSpec | None
    tool: str
    version: str


class Manifest(Model):
    """Fields of every bundle's manifest; its ``family`` defines the others.

    Attributes:
        family: name of the network family in ``runtime.families.FAMILIES``, which reads the rest.
        architecture: what people call the network, such as ``tsm``; nothing depends on it.
        network: the architecture with its size.
        weights: per precision, the file of the tensors that parts keep outside of their graphs, once for all.
    """

    schema_version: Literal[4] = SCHEMA_VERSION
    family: str
    architecture: str
    network: str
    classes: int
    class_names: tuple[str, ...] | None
    preprocessing: Preprocessing
    parts: dict[PartName, PartSpec]
    weights: dict[str, FileSpec]
    precisions: tuple[str, ...]
    precision_details: dict[str, PrecisionSpec]
    source: CheckpointSource
    versions: dict[str, str]
    created: str
    checks: dict[str, Check]

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        if self.class_names is not None and len(self.class_names) != self.classes:
            raise ValueError(f"{len(self.class_names)} class names for {self.classes} classes")
        missing = self.needed_parts() - set(self.parts)
        if missing:
            raise ValueError(f"the part {min(missing)} is missing")
        for name, part in self.parts.items():
            if set(part.files) != set(self.precisions):
                raise ValueError(f"the part {name} has files for other precisions than {', '.join(self.precisions)}")
        if set(self.precision_details) != set(self.precisions) - {"fp32"}:
            raise ValueError("precision_details describes other precisions than those of the bundle")
        if not set(self.weights) <= set(self.precisions):
            raise ValueError("weights are for other precisions than those of the bundle")
        return self

    def needed_parts(self) -> set[str]:
        """Return the names of the parts that the bundle cannot be run without."""
        return {"preprocess"}


class FrameExitManifest(Manifest):
    """FrameExit: one backbone for single frames, and a gate and a classifier for every step."""

    family: Literal["frameexit"] = "frameexit"
    frames: int
    frame_order: tuple[int, ...]
    state_shape: tuple[int, ...]
    policy: PolicySpec
    paper_gmacs_per_frame: float | None

    @model_validator(mode="after")
    def _in_order(self) -> FrameExitManifest:
        if sorted(self.frame_order) != list(range(self.frames)):
            raise ValueError(f"frame_order is no order of {self.frames} frames")
        return self

    def needed_parts(self) -> set[str]:
        """Return the parts that a FrameExit of ``frames`` steps is run with."""
        gates = {f"gate_{step:02d}" for step in range(2, self.frames)}
        classifiers = {f"classifier_{step:02d}" for step in range(1, self.frames + 1)}
        return super().needed_parts() | {"backbone", "accumulator"} | gates | classifiers


class FlexibleManifest(Manifest):
    """One part for every frame count: TSM, TEA, SlowFast or Uniformer, plain or frame-flexible.

    Attributes:
        frame_counts: lengths of the clips that it has parts for, ascending.
        branches: for each of them, the branch whose norms and adaptations the part has (0: a plain network's only one).
        sampling: which frames of a video a clip is made of, see ``runtime/video/sampling.py``.
        layout: whether norms and adaptations are ``folded`` into the convolutions, or separate so that those are
            ``shared`` by all frame counts.
    """

    family: Literal["frame_counts"] = "frame_counts"
    frame_counts: tuple[int, ...]
    branches: tuple[int, ...]
    sampling: Literal["segment_centres", "rounded_segments"]
    layout: Literal["folded", "shared"]

    @model_validator(mode="after")
    def _in_order(self) -> FlexibleManifest:
        if not self.frame_counts or list(self.frame_counts) != sorted(set(self.frame_counts)):
            raise ValueError("frame_counts are not ascending")
        if len(self.branches) != len(self.frame_counts):
            raise ValueError("branches are not one for every frame count")
        return self

    @property
    def views(self) -> int:
        """How many crops of a clip the network sees; their mean is its answer."""
        return len(self.preprocessing.crops)

    def needed_parts(self) -> set[str]:
        """Return the preprocessing and a part for every frame count."""
        return super().needed_parts() | {frames_part(count) for count in self.frame_counts}


def frames_part(count: int) -> str:
    """Return the name of the part that runs clips of ``count`` frames."""
    return f"frames_{count:02d}"
