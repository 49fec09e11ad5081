"""The contenders: engines, devices and precisions, with the requirements of each.

An engine may be missing from this checkout: each contender is loaded in a separate process, and its error goes into the
record.
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
        needs: doctor findings that must be ``ok``.
        gpu: whether it runs on a GPU; it is dropped if the loaded engine does not.
        options: additional arguments of ``vbench.load``.
        loader: function that loads it, as ``module:function``.
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
        """Whether it must match the reference's predictions; TF32 is then disabled in its process."""
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
    """Return the contenders that can run here, and the others with reasons; ``cpu`` excludes all GPUs."""
    engines = {one.what: one for one in found if one.topic == "engines"}
    reasons = {one.name: _reason(one, engines, cpu) for one in contenders}
    present = [one for one in contenders if not reasons[one.name]]
    return present, [Absent(name, reason) for name, reason in reasons.items() if reason]


def _reason(contender: Contender, engines: Mapping[str, Finding], cpu: bool) -> str:
    if cpu and contender.gpu:
        return "--cpu was given"
    missing = [name for name in contender.needs if name not in engines or engines[name].state != "ok"]
    details = [f"{name}: {engines[name].detail if name in engines else 'there is no finding'}" for name in missing]
    return "; ".join(details)
