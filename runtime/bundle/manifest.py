"""Schema of ``manifest.json``, which describes a bundle so that its graphs need not be opened.

Validation is strict: an unknown or missing field or a future schema version is an error, since a bundle that is only
partly understood could run and give wrong numbers.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

SCHEMA_VERSION: Final = 4
OLDEST_MIGRATED: Final = 3  # the oldest version that vbench migrate converts

DType = Literal["uint8", "float32", "float16", "int64"]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Fraction = Annotated[float, Field(ge=0, le=1)]
# Both are parts of file names.
PartName = Annotated[str, Field(pattern=r"^[a-z0-9_]+$", max_length=64)]
PrecisionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=64)]


class Model(BaseModel):
    """Base of all records: immutable, without extra fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TensorSpec(Model):
    """One input or output of a part; a string in ``shape`` names a dynamic axis."""

    name: str
    dtype: DType
    shape: tuple[int | str, ...]


class FileSpec(Model):
    """A file of the bundle: path relative to the bundle, size and SHA-256."""

    path: Annotated[str, Field(pattern=r"^[^\x00]+$")]
    size_bytes: int
    sha256: Digest


class PartSpec(Model):
    """A subgraph: its tensors, its cost for a batch of one, and its file per precision.

    Tensors and cost are the same in every precision, since casts and Q/DQ nodes are inside the graph. A part that is
    not converted uses the same file in all precisions.
    """

    inputs: tuple[TensorSpec, ...]
    output: TensorSpec
    macs: int
    parameters: int
    files: dict[PrecisionName, FileSpec]


class Preprocessing(Model):
    """Description of ``preprocess.onnx`` for users and other tools; runtimes run the graph.

    The shorter side is resized to ``resize_side``, then one or more squares of ``input_size`` are cropped; each crop is
    a view of the clip. ``mean`` and ``std`` apply to values in [0, 1], in channel order.
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
        first_threshold: confidence above which step 1 exits, if given at export or recommended for the data set.
        gate_threshold: gate value above which a later step exits.
        dataset: the data set that the network was exported for, if given at export.
    """

    kind: Literal["frameexit"] = "frameexit"
    first_threshold: Fraction | None = None
    gate_threshold: Fraction
    dataset: str | None = None


class CheckpointSource(Model):
    """The checkpoint that the bundle was exported from; ``path``, for the torch engine, is relative to the bundle.

    ``input_size_origin`` states where the input size comes from: the option, the checkpoint, a record next to it, or
    the network's default; ``recorded_input_size`` is the size that the checkpoint or the record states.
    """

    path: str
    size_bytes: int
    sha256: Digest
    input_size_origin: Literal["option", "checkpoint", "record", "default"] | None = None
    recorded_input_size: int | None = None


class Difference(Model):
    """Largest difference of one part from PyTorch: absolute, and relative to the largest magnitude of its output."""

    absolute: float
    relative: float


class Check(Model):
    """Result of the numerical check at export, for one precision.

    ``max_error`` is the tolerance that was met; None if differences were only recorded (all precisions except fp32). Of
    ``clips``, ``exit_steps_changed`` exited at a different step than with PyTorch, and ``classes_changed`` have a
    different class.
    """

    engine: str
    max_error: float | None
    parts: dict[str, Difference]
    clips: int
    exit_steps_changed: int
    classes_changed: int
    logits: Difference


class CalibrationSpec(Model):
    """Data used to calibrate the activation ranges: numbers of videos and frames of a data set."""

    dataset: str
    videos: int
    frames: int
    method: str


class PrecisionSpec(Model):
    """Conversion of the graphs to a precision other than fp32.

    ``parts`` were converted; all other parts are shared with fp32. ``converted`` counts, by operator, the nodes that
    compute in the lower precision; ``kept`` names those that do not. ``largest_activation`` is the largest magnitude
    measured before a conversion to fp16.
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
    largest_activation: float | None = None


class Manifest(Model):
    """Fields of every bundle's manifest; its ``family`` defines the others.

    Attributes:
        family: name of the network family in ``runtime.families.FAMILIES``, which defines the other fields.
        architecture: common name of the network, such as ``tsm``; for display only.
        network: the architecture with its size.
        weights: per precision, the file with the tensors that parts share and store outside their graphs.
    """

    schema_version: Literal[4] = SCHEMA_VERSION
    family: str
    architecture: str
    network: str
    classes: int
    class_names: tuple[str, ...] | None
    preprocessing: Preprocessing
    parts: dict[PartName, PartSpec]
    weights: dict[PrecisionName, FileSpec]
    precisions: tuple[PrecisionName, ...]
    precision_details: dict[PrecisionName, PrecisionSpec]
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
            raise ValueError(f"part {min(missing)} is missing")
        for name, part in self.parts.items():
            if set(part.files) != set(self.precisions):
                raise ValueError(
                    f"part {name} does not have files for exactly the precisions {', '.join(self.precisions)}"
                )
        if set(self.precision_details) != set(self.precisions) - {"fp32"}:
            raise ValueError("precision_details does not describe exactly the bundle's precisions other than fp32")
        if not set(self.weights) <= set(self.precisions):
            raise ValueError("weights lists files for precisions that the bundle does not have")
        return self

    def needed_parts(self) -> set[str]:
        """Return the names of the parts required to run the bundle."""
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
            raise ValueError(f"frame_order is not a permutation of range({self.frames})")
        return self

    def needed_parts(self) -> set[str]:
        gates = {f"gate_{step:02d}" for step in range(2, self.frames)}
        classifiers = {f"classifier_{step:02d}" for step in range(1, self.frames + 1)}
        return super().needed_parts() | {"backbone", "accumulator"} | gates | classifiers


class FlexibleManifest(Manifest):
    """One part for every frame count: TSM, TEA, SlowFast or Uniformer, plain or frame-flexible.

    Attributes:
        frame_counts: clip lengths for which the bundle has parts, ascending.
        branches: for each frame count, the branch that provides the part's norms and adaptations (0: the only branch of
            a plain network).
        sampling: rule for sampling the frames of a clip; see ``runtime/video/sampling.py``.
        layout: ``folded``: norms and adaptations are folded into the convolutions; ``shared``: they are separate, and
            all frame counts share the convolutions.
    """

    family: Literal["frame_counts"] = "frame_counts"
    frame_counts: tuple[int, ...]
    branches: tuple[int, ...]
    sampling: Literal["segment_centres", "rounded_segments"]
    layout: Literal["folded", "shared"]

    @model_validator(mode="after")
    def _in_order(self) -> FlexibleManifest:
        if not self.frame_counts or list(self.frame_counts) != sorted(set(self.frame_counts)):
            raise ValueError("frame_counts must be non-empty and strictly ascending")
        if len(self.branches) != len(self.frame_counts):
            raise ValueError("branches does not have exactly one entry per frame count")
        return self

    @property
    def views(self) -> int:
        """Number of crops per frame; the prediction is the mean over the crops."""
        return len(self.preprocessing.crops)

    def needed_parts(self) -> set[str]:
        return super().needed_parts() | {frames_part(count) for count in self.frame_counts}


def frames_part(count: int) -> str:
    """Return the name of the part that runs clips of ``count`` frames."""
    return f"frames_{count:02d}"
