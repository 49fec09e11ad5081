"""The schema of ``manifest.json``: everything that is known about a bundle without opening its graphs.

Strict on purpose: an unknown field, a missing one or a future schema version is an error, since a bundle that is half
understood would run and give wrong numbers.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

SCHEMA_VERSION: Final = 1

DType = Literal["uint8", "float32", "float16", "int64"]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Fraction = Annotated[float, Field(ge=0, le=1)]


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
    """A subgraph: its tensors, its cost for a batch of one, and its file per precision."""

    inputs: tuple[TensorSpec, ...]
    output: TensorSpec
    macs: int
    parameters: int
    files: dict[str, FileSpec]


class Preprocessing(Model):
    """What ``preprocess.onnx`` does, for people and for other tools; runtimes run the graph."""

    input_size: int
    resize: Literal["shorter_side_bilinear_truncated"] = "shorter_side_bilinear_truncated"
    crop: Literal["center_half_to_even"] = "center_half_to_even"
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class PolicySpec(Model):
    """The default exit policy: the authors' rule and its thresholds."""

    kind: Literal["frameexit"] = "frameexit"
    first_threshold: Fraction
    gate_threshold: Fraction


class Source(Model):
    """The checkpoint the bundle was made from; ``path`` is relative to the bundle, for the torch engine."""

    path: str
    size_bytes: int
    sha256: Digest


class Difference(Model):
    """Largest difference of one part from PyTorch: absolute, and relative to the largest magnitude of its output."""

    absolute: float
    relative: float


class Check(Model):
    """Result of the numerical check made at export."""

    engine: str
    max_error: float
    parts: dict[str, Difference]
    clips: int
    exit_steps_equal: bool
    logits: Difference


class Manifest(Model):
    """The whole manifest."""

    schema_version: Literal[1] = SCHEMA_VERSION
    family: Literal["frameexit"]
    network: str
    classes: int
    class_names: tuple[str, ...] | None
    frames: int
    frame_order: tuple[int, ...]
    preprocessing: Preprocessing
    state_shape: tuple[int, ...]
    parts: dict[str, PartSpec]
    precisions: tuple[str, ...]
    policy: PolicySpec
    paper_gmacs_per_frame: float | None
    source: Source
    versions: dict[str, str]
    created: str
    check: Check | None

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        if sorted(self.frame_order) != list(range(self.frames)):
            raise ValueError(f"frame_order is no order of {self.frames} frames")
        if self.class_names is not None and len(self.class_names) != self.classes:
            raise ValueError(f"{len(self.class_names)} class names for {self.classes} classes")
        missing = frameexit_parts(self.frames) - set(self.parts)
        if missing:
            raise ValueError(f"the part {min(missing)} is missing")
        return self


def frameexit_parts(frames: int) -> set[str]:
    """Return the names of the parts that a FrameExit of ``frames`` steps is run with."""
    gates = {f"gate_{step:02d}" for step in range(2, frames)}
    classifiers = {f"classifier_{step:02d}" for step in range(1, frames + 1)}
    return {"preprocess", "backbone", "accumulator"} | gates | classifiers
