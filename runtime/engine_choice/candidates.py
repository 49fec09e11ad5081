"""Which engines and precisions ``--engine auto`` and ``--precision auto`` choose among.

The candidates are ONNX Runtime and OpenVINO, which compute fp32 in fp32 (see ``runtime/engines/openvino.py``). All
others run only if they are named: the torch engine is the reference, TensorRT builds plans for minutes, and nothing is
known about the results of an engine from another package.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import NamedTuple

from ...errors import UsageError
from ..bundle.manifest import Manifest
from ..engines.device import TF32, requested_gpu
from ..engines.install_hint import missing_package
from ..engines.options import AUTO, PROVIDERS, EngineOptions

EXACT = "fp32"
_PACKAGES = {"ort": ("onnxruntime", "cpu"), "openvino": ("openvino", "openvino")}  # module and extra; preferred first
_DERIVED = {"openvino": ("bf16",)}  # precisions computed from the fp32 files
LOWER = ("bf16", "int8")  # precisions that require an audit


class Candidate(NamedTuple):
    """An engine at a precision."""

    engine: str
    precision: str

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}"


def candidates(manifest: Manifest, options: EngineOptions) -> list[Candidate]:
    """Return what the options permit and is installed, in order of preference; it may not be audited.

    Raises:
        UsageError: an option fits no candidate.
        MissingError: none of the engines is installed.
    """
    _check_max_flips(options)
    engines = _engines(options)
    on_gpu = requested_gpu(options) is not None
    if on_gpu and options.precision == AUTO:
        raise UsageError("--precision auto chooses only on the CPU", "name a precision, or omit --device")
    found = [
        Candidate(engine, precision)
        for precision in ((EXACT, *LOWER) if options.precision == AUTO else (options.precision,))
        for engine in engines
        if _runs(manifest, engine, precision) or on_gpu
    ]
    found = found or [Candidate(engines[0], options.precision)]  # whose error explains why it does not run
    installed = [each for each in found if find_spec(_PACKAGES[each.engine][0]) is not None]
    if not installed:
        raise missing_package(*_PACKAGES[found[0].engine])
    return installed


def engine_versions(engines: set[str], versions: Mapping[str, str]) -> dict[str, str]:
    """Return the versions of the packages that provide these engines."""
    modules = tuple(_PACKAGES[engine][0] if engine in _PACKAGES else engine for engine in engines)
    return {name: version for name, version in versions.items() if name.startswith(modules)}


def _check_max_flips(options: EngineOptions) -> None:
    if options.max_flips is None:
        return
    if options.precision != AUTO:
        raise UsageError("--max-flips applies only to --precision auto", "add --precision auto, or omit --max-flips")
    if not options.max_flips >= 0:
        raise UsageError(f"--max-flips must be >= 0, got {options.max_flips:g}", "pass a percentage of videos")


def _engines(options: EngineOptions) -> tuple[str, ...]:
    """Return the engines that the options permit."""
    if options.engine != AUTO:
        if options.engine not in _PACKAGES:
            raise UsageError(
                f"--precision auto does not apply to the {options.engine} engine",
                f"name a precision, or choose --engine {', '.join((AUTO, *_PACKAGES))}",
            )
        return (options.engine,)
    if options.checkpoint is not None:
        raise UsageError(
            "--checkpoint is for the torch engine, which --engine auto does not choose",
            "add --engine torch, or omit --checkpoint",
        )
    needs_gpu = options.provider != PROVIDERS[0] or options.graphs or options.precision == TF32
    return ("ort",) if needs_gpu or requested_gpu(options) is not None else tuple(_PACKAGES)


def _runs(manifest: Manifest, engine: str, precision: str) -> bool:
    return precision in manifest.precisions or precision in _DERIVED.get(engine, ())
