"""Schema of ``manifest.json``, which describes a bundle so that its graphs need not be opened.

Validation is strict: an unknown or missing field or a future schema version is an error, since a bundle that is only
partly understood could run but produce wrong numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from .model import CheckpointSource as CheckpointSource
from .model import Digest, Fraction, Model
from .model import GateSetSpec as GateSetSpec

SCHEMA_VERSION: Final = 4
OLDEST_MIGRATED: Final = 3  # the oldest version that vbench migrate can convert

CLASSIFIERS: Final = "classifiers"
"""The part that evaluates FrameExit's classifiers."""
DType = Literal["uint8", "float32", "float16", "int64"]
Target = Literal["gpu", "ort_cpu"]
"""What another form of a graph is for: GPUs, or ONNX Runtime on a CPU."""
Output = Literal["softmax", "sigmoid"]
"""What turns logits into probabilities: sigmoid for classes that are not mutually exclusive."""
# Both become parts of file names.
PartName = Annotated[str, Field(pattern=r"^[a-z0-9_]+$", max_length=64)]
PrecisionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=64)]


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
    """A subgraph: its tensors, its cost at batch size 1, and its file in each precision.

    Tensors and cost are the same in every precision, since casts and Q/DQ nodes are inside the graph. A part that is
    not converted has the same file in every precision. ``other_forms`` has, by target and precision, graphs that
    compute the same function in a form that the target needs or runs faster; it is omitted from the manifest if empty.
    """

    inputs: tuple[TensorSpec, ...]
    output: TensorSpec
    macs: int
    parameters: int
    files: dict[PrecisionName, FileSpec]
    other_forms: dict[Target, dict[PrecisionName, FileSpec]] = Field(default_factory=dict)

    def files_for(self, target: Target | None) -> dict[PrecisionName, FileSpec]:
        """Return the file in each precision, in the form for ``target`` where there is one."""
        return self.files if target is None else {**self.files, **self.other_forms.get(target, {})}

    def all_files(self, precision: str | None = None) -> set[FileSpec]:
        """Return the files of all forms, in one precision or in all of them."""
        forms = (self.files, *self.other_forms.values())
        return {file for files in forms for name, file in files.items() if precision in (None, name)}

    @model_serializer(mode="wrap")
    def _without_empty(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = serialize(self)
        if not self.other_forms:  # as in bundles from earlier versions
            content.pop("other_forms", None)
        return content


class Preprocessing(Model):
    """Description of ``preprocess.onnx``, which is authoritative: engines run it, or compiled code that reproduces it.

    The shorter side is resized to ``resize_side``, and then one or more squares of side ``input_size`` are cropped;
    each crop is a view of the clip. ``mean`` and ``std`` apply to values in [0, 1], in channel order.
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


class Difference(Model):
    """Largest difference between one part and PyTorch: absolute, and relative to the output's largest magnitude."""

    absolute: float
    relative: float


class Check(Model):
    """Result of the numerical check at export for one precision.

    ``max_error`` is the tolerance that was met; None if differences were only recorded (all precisions except fp32). Of
    the ``clips`` clips, ``exit_steps_changed`` exited at a different step than in PyTorch, and ``classes_changed`` were
    assigned a different class.
    """

    engine: str
    max_error: float | None
    parts: dict[str, Difference]
    clips: int
    exit_steps_changed: int
    classes_changed: int
    logits: Difference


class CalibrationSpec(Model):
    """Data used to calibrate the activation ranges: a data set, and how many of its videos and frames were used."""

    dataset: str
    videos: int
    frames: int
    method: str


class PrecisionSpec(Model):
    """Conversion of the graphs to a precision other than fp32.

    ``parts`` lists the converted parts; all others are shared with fp32. ``converted`` counts, by operator, the nodes
    that compute in the lower precision; ``kept`` names those that do not. ``largest_activation`` is the largest
    magnitude measured before converting to fp16.
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
    """Fields common to all manifests; the ``family`` determines the others.

    Attributes:
        family: name of the network family in ``runtime.families.FAMILIES``.
        architecture: common name of the network, such as ``tsm``; for display only.
        network: the architecture with its size.
        weights: for each precision, the file that contains the tensors shared by the parts and stored outside their
            graphs.
        probabilities: what turns logits into probabilities, if specified at export; omitted from the file otherwise.
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
    probabilities: Output | None = None

    @classmethod
    def outdated(cls, content: Mapping[str, Any]) -> str | None:  # noqa: ARG003
        """Return how the version that wrote a manifest differs, if its schema version is current but its parts are not.

        Args:
            content: contents of the manifest, not yet validated.
        """
        return None

    @property
    def output(self) -> Output:
        """What turns logits into probabilities: a softmax unless the export specified otherwise."""
        return self.probabilities or "softmax"

    @model_serializer(mode="wrap")
    def _without_unstated(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = serialize(self)
        if self.probabilities is None:  # as in bundles from earlier versions
            content.pop("probabilities", None)
        return content

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        if self.class_names is not None and len(self.class_names) != self.classes:
            raise ValueError(f"{len(self.class_names)} class names for {self.classes} classes")
        missing = self.needed_parts() - set(self.parts)
        if missing:
            raise ValueError(f"part {min(missing)} is missing")
        for name, part in self.parts.items():
            if set(part.files) != set(self.precisions):
                raise ValueError(f"the precisions of part {name}'s files are not exactly {', '.join(self.precisions)}")
            if not {precision for files in part.other_forms.values() for precision in files} <= set(self.precisions):
                raise ValueError(f"part {name} has other_forms for precisions that the bundle does not have")
        if set(self.precision_details) != set(self.precisions) - {"fp32"}:
            raise ValueError("precision_details must describe the bundle's precisions other than fp32, and no others")
        if not set(self.weights) <= set(self.precisions):
            raise ValueError("weights lists files for precisions that the bundle does not have")
        return self

    def needed_parts(self) -> set[str]:
        """Return the names of the parts required to run the bundle."""
        return {"preprocess"}

    def part_sources(self) -> dict[str, tuple[CheckpointSource, str]]:
        """Return the parts from checkpoints other than ``source``, with the checkpoint and its name for the part."""
        return {}

    def listed_files(self) -> set[FileSpec]:
        """Return all files of the bundle, for all precisions."""
        parts = {file for part in self.parts.values() for file in part.all_files()}
        return parts | set(self.weights.values())

    def replaced_files(self) -> set[str]:
        """Return the paths that only bundles from earlier versions have."""
        return set()


class FrameExitManifest(Manifest):
    """FrameExit: a backbone for single frames or short clips, and gates and classifiers with weights for every step.

    Attributes:
        frames: number of steps.
        clip_frames: frames that one step reads; 1 unless the backbone has 3D convolutions.
        sampling: rule for sampling the frames of each step; see ``runtime/video/sampling.py``.
        paper_gmacs_per_frame: cost per frame read, in giga multiply-accumulates, as stated in the paper.
        trunk_sha256: digest of all tensors except those of the gates, which identifies networks that differ only in
            their gates; None in bundles from earlier versions.
        gate_sets: gate sets by name; {} if the bundle has a single, unnamed set.
    """

    family: Literal["frameexit"] = "frameexit"
    frames: int
    clip_frames: int = 1
    sampling: Literal["linspace", "temporal_views", "temporal_views_to_end"] = "linspace"
    frame_order: tuple[int, ...]
    state_shape: tuple[int, ...]
    policy: PolicySpec
    paper_gmacs_per_frame: float | None
    trunk_sha256: Digest | None = None
    gate_sets: dict[str, GateSetSpec] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _in_order(self) -> FrameExitManifest:
        if len(self.frame_order) != self.frames or sorted(self.frame_order) != list(range(self.frames)):
            raise ValueError(f"frame_order is not a permutation of {self.frames} frames")
        suffixes = [each.suffix for each in self.gate_sets.values()]
        if suffixes and (suffixes.count("") != 1 or len(set(suffixes)) < len(suffixes)):
            raise ValueError("gate_sets must have distinct suffixes, exactly one of which is empty")
        if (self.clip_frames == 1) != (self.sampling == "linspace"):
            raise ValueError(f"sampling {self.sampling} is not valid for steps of {self.clip_frames} frames")
        return self

    @classmethod
    def outdated(cls, content: Mapping[str, Any]) -> str | None:
        parts = content.get("parts")
        has_step_parts = isinstance(parts, dict) and "classifier_01" in parts
        return "evaluated gates and classifiers in a part per step" if has_step_parts else None

    @property
    def default_gates(self) -> str | None:
        """Name of the gate set that runs by default; None if the bundle has no named sets."""
        return next((name for name, each in self.gate_sets.items() if not each.suffix), None)

    @property
    def has_gates(self) -> bool:
        """Whether any step has a gate: the first and the last step have none."""
        return self.frames > 2

    def part_sources(self) -> dict[str, tuple[CheckpointSource, str]]:
        others = [each for each in self.gate_sets.values() if each.suffix]
        return {gates_part(each.suffix): (each.source, gates_part()) for each in others}

    @property
    def pixels_shape(self) -> tuple[int, ...]:
        """Shape of the backbone's input for one step: ``[3, h, w]``, or ``[clip_frames, 3, h, w]`` for clips."""
        size = self.preprocessing.input_size
        return (3, size, size) if self.clip_frames == 1 else (self.clip_frames, 3, size, size)

    @property
    def head_parts(self) -> tuple[str, ...]:
        """Names of the parts that evaluate gates and classifiers."""
        return tuple(self.step_parts)

    @property
    def step_parts(self) -> dict[str, tuple[str, ...]]:
        """For each part in `head_parts`, the parts that evaluated single steps in bundles from earlier versions."""
        suffixes = dict.fromkeys(("", *(each.suffix for each in self.gate_sets.values())) if self.has_gates else ())
        steps = range(1, len(self.frame_order) + 1)  # ``frames``, which may be absurd in an invalid manifest
        gates = {gates_part(each): tuple(f"gate_{step:02d}{each}" for step in steps[1:-1]) for each in suffixes}
        return {**gates, CLASSIFIERS: tuple(f"classifier_{step:02d}" for step in steps)}

    def replaced_files(self) -> set[str]:
        listed = {file.path for file in self.listed_files()}
        return {f"fp32/{part}.onnx" for parts in self.step_parts.values() for part in parts} - listed

    def needed_parts(self) -> set[str]:
        return super().needed_parts() | {"backbone", "accumulator", *self.head_parts}


class FlexibleManifest(Manifest):
    """One part per frame count: TSM, TEA, SlowFast or Uniformer (plain or frame-flexible), or X3D.

    Attributes:
        frame_counts: clip lengths for which the bundle has parts, in ascending order.
        branches: for each frame count, the branch that provides the part's norms and adaptations; 0 is the only branch
            of a plain network.
        sampling: rule for sampling the frames of a clip; see ``runtime/video/sampling.py``.
        temporal_views: number of clips sampled from each video; the prediction is the mean over them.
        view_mean: whether the logits or the probabilities of the views are averaged.
        paper_gmacs_per_frame: cost per frame read, in giga multiply-accumulates, as stated by the authors; None if they
            do not state it, or if there are several frame counts.
        layout: ``folded``: norms and adaptations are folded into the convolutions; ``shared``: they are separate, and
            all frame counts share the convolutions.
    """

    family: Literal["frame_counts"] = "frame_counts"
    frame_counts: tuple[int, ...]
    branches: tuple[int, ...]
    sampling: Literal["segment_centres", "rounded_segments", "temporal_views"]
    temporal_views: Annotated[int, Field(ge=1)] = 1
    view_mean: Literal["logits", "probabilities"] = "logits"
    paper_gmacs_per_frame: float | None = None
    layout: Literal["folded", "shared"]

    @model_validator(mode="after")
    def _in_order(self) -> FlexibleManifest:
        if not self.frame_counts or list(self.frame_counts) != sorted(set(self.frame_counts)):
            raise ValueError("frame_counts must be non-empty and strictly ascending")
        if len(self.branches) != len(self.frame_counts):
            raise ValueError("branches must have exactly one entry per frame count")
        return self

    @property
    def views(self) -> int:
        """Number of views per video (clips times crops); the prediction is the mean over them."""
        return self.temporal_views * len(self.preprocessing.crops)

    def needed_parts(self) -> set[str]:
        return super().needed_parts() | {frames_part(count) for count in self.frame_counts}


def gates_part(suffix: str = "") -> str:
    """Return the name of the part that evaluates the gates of a set; ``suffix`` is the set's."""
    return f"gates{suffix}"


def frames_part(count: int) -> str:
    """Return the name of the part that runs clips of ``count`` frames."""
    return f"frames_{count:02d}"
