"""Base class of the records in a manifest, and the records of the checkpoints that a bundle was exported from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Model(BaseModel):
    """Base class of all records, which are immutable and reject unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CheckpointSource(Model):
    """The checkpoint that the bundle was exported from; ``path``, relative to the bundle, is for the torch engine.

    ``input_size_origin`` is where the input size comes from: the option, the checkpoint, a record stored next to the
    checkpoint, or the network's default; ``recorded_input_size`` is the size stated in the checkpoint or the record.
    """

    path: str
    size_bytes: int
    sha256: Digest
    input_size_origin: Literal["option", "checkpoint", "record", "default"] | None = None
    recorded_input_size: int | None = None


class GateSetSpec(Model):
    """One of several gate sets for the same trunk, and the policy that it was fitted for.

    Attributes:
        suffix: suffix of the names of its gate parts; "" for the set that runs by default.
        first_threshold: confidence above which step 1 exits.
        gate_threshold: gate value above which a later step exits.
        beta: loss allowed at step 1 when the set was fitted.
        source: checkpoint that contains the gates.
    """

    suffix: Annotated[str, Field(pattern=r"^[a-z0-9_]*$", max_length=48)]
    first_threshold: Fraction
    gate_threshold: Fraction
    beta: Annotated[float, Field(gt=0)]
    source: CheckpointSource
