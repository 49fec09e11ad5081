"""Who takes part: engines, devices and precisions, and what has to work on the machine for each.

Nothing here knows whether this checkout has the engine: each contender is loaded in a process of its own, and what it
says when it is refused goes into the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from vbench.runtime.doctor.finding import Finding

EXACT = "fp32"
_CUDA = (("device", "cuda"),)


@dataclass(frozen=True)
class Contender:
    """One way to run the bundle.

    Attributes:
        needs: what the doctor must have found to work.
        gpu: whether it computes on a GPU; it is out if it says that it does not.
        options: further arguments of ``vbench.load``.
        loader: the function that loads it, as ``module:function``.
    """

    name: str
    engine: str
    needs: tuple[str, ...] = ()
    precision: str = EXACT
    gpu: bool = False
    options: tuple[tuple[str, str | bool], ...] = ()
    loader: str = "tools.gpu_check.loading:load_contender"

    @property
    def exact(self) -> bool:
        """Whether it has to give the reference's answers; TF32 is then forbidden in its process."""
        return self.precision == EXACT


class Absent(NamedTuple):
    """A contender that cannot take part, and why."""

    contender: str
    why: str


CONTENDERS = (
    Contender("ort CPU", "ort", ("ort CPU",)),
    Contender("torch CPU", "torch", ("torch CPU",)),
    Contender("ort CUDA", "ort", ("ort CUDA",), gpu=True, options=_CUDA),
    Contender("ort CUDA, graphs", "ort", ("ort CUDA",), gpu=True, options=(*_CUDA, ("graphs", True))),
    Contender("ort CUDA, fp16", "ort", ("ort CUDA",), "fp16", gpu=True, options=_CUDA),
    Contender("ort CUDA, TF32", "ort", ("ort CUDA",), "tf32", gpu=True, options=_CUDA),
    Contender("ort TensorRT", "ort", ("ort TensorRT",), gpu=True, options=(*_CUDA, ("provider", "tensorrt"))),
    Contender("torch CUDA", "torch", ("torch CUDA",), gpu=True, options=_CUDA),
    Contender("torch CUDA, graphs", "torch", ("torch CUDA",), gpu=True, options=(*_CUDA, ("graphs", True))),
    Contender("torch CUDA, TF32", "torch", ("torch CUDA",), "tf32", gpu=True, options=_CUDA),
    Contender("trt fp32", "trt", ("tensorrt", "pycuda"), gpu=True),
    Contender("trt TF32", "trt", ("tensorrt", "pycuda"), "tf32", gpu=True),
    Contender("trt fp16", "trt", ("tensorrt", "pycuda"), "fp16", gpu=True),
)


def select(
    contenders: Sequence[Contender], found: Sequence[Finding], cpu: bool
) -> tuple[list[Contender], list[Absent]]:
    """Return those that may take part here, and the others with what keeps them out; ``cpu`` leaves all GPUs out."""
    engines = {one.what: one for one in found if one.topic == "engines"}
    reasons = {one.name: _reason(one, engines, cpu) for one in contenders}
    there = [one for one in contenders if not reasons[one.name]]
    return there, [Absent(name, reason) for name, reason in reasons.items() if reason]


def _reason(contender: Contender, engines: Mapping[str, Finding], cpu: bool) -> str:
    if cpu and contender.gpu:
        return "--cpu was given"
    missing = [name for name in contender.needs if name not in engines or engines[name].state != "ok"]
    said = [f"{name}: {engines[name].detail if name in engines else 'nothing is known of it'}" for name in missing]
    return "; ".join(said)
