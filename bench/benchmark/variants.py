"""Ways to run an engine on the chosen device: its plain form, and with CUDA graphs or another provider on request.

Engine options that all contenders share do not apply to every engine, so each engine gets only those that it supports.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from ...runtime.engines.device import CPU, TF32, requested_gpu, select_gpu
from ...runtime.engines.options import PLAN_ENGINES, PROVIDERS, EngineOptions
from .contender import EXACT

_CUDA, _TENSORRT = PROVIDERS
# What ``vbench doctor`` must have found to work, by engine and by device or provider.
_NEEDED: dict[str, dict[str, tuple[str, ...]]] = {
    "ort": {CPU: ("ort CPU",), _CUDA: ("ort CUDA",), _TENSORRT: ("ort TensorRT",)},
    "openvino": {CPU: ("openvino",)},
    "torch": {CPU: ("torch CPU",), _CUDA: ("torch CUDA",)},
    "trt": {_CUDA: ("tensorrt", "pycuda")},
    "trt-rtx": {_CUDA: ("tensorrt-rtx", "pycuda")},
}
_CAPTURING = ("ort", "torch")  # engines that use CUDA graphs only on request
NOT_HERE = "it does not run on"
"""Start of the reason given for an engine that does not run on the chosen device."""


def engine_variants(base: EngineOptions, engine: str) -> Iterator[EngineOptions]:
    """Yield the ways to run an engine that ``base`` requests: the plain one first.

    Raises:
        UsageError: ``base`` names an unknown device, or an option that needs a GPU without one.
    """
    plain = plain_variant(base, engine)
    yield plain
    if not on_gpu(plain):
        if engine == "ort":  # it has all options, so its error applies to every engine on the CPU
            select_gpu(base)
        return
    if base.graphs and engine in _CAPTURING:
        yield replace(plain, graphs=True)
    if base.provider != _CUDA and engine == "ort":
        yield replace(plain, provider=base.provider)


def plain_variant(base: EngineOptions, engine: str) -> EngineOptions:
    """Return the options of an engine without CUDA graphs and without another provider.

    ``--no-graphs`` is kept for the engines that use them by default.
    """
    graphs = base.graphs if engine in PLAN_ENGINES and base.graphs is False else None
    return replace(base, engine=engine, graphs=graphs, provider=_CUDA)


def cpu_variant(base: EngineOptions, engine: str) -> EngineOptions:
    """Return the options of an engine on the CPU."""
    return replace(plain_variant(base, engine), device=None)


def on_gpu(options: EngineOptions) -> bool:
    """Return whether a variant runs on a GPU.

    Raises:
        UsageError: the device is unknown.
    """
    return requested_gpu(options) is not None or (options.engine in PLAN_ENGINES and options.device is None)


def why_absent(options: EngineOptions, available: Mapping[str, str]) -> str:
    """Return why a variant does not work on this machine; "" if it does.

    Args:
        available: see `available_engines`; engines from other packages are not in it and count as working.
    """
    places = _NEEDED.get(options.engine)
    if places is None:
        return ""
    place = (options.provider if options.engine == "ort" else _CUDA) if on_gpu(options) else CPU
    if place not in places:
        return f"{NOT_HERE} {options.device}"
    first, *others = places[place]
    reasons = [available.get(first, ""), *(f"{name}: {why}" for name in others if (why := available.get(name, "")))]
    return "; ".join(filter(None, reasons))


def supports_tf32(options: EngineOptions) -> bool:
    """Return whether a variant can round products to TF32."""
    return on_gpu(options) and options.engine in _NEEDED and options.provider == _CUDA


def variant_name(options: EngineOptions) -> str:
    """Return the name of a variant, such as ``ort cuda graphs``; the device is left out if it is the only one."""
    device = "" if options.device in (None, CPU) or options.engine in PLAN_ENGINES else options.device
    provider = "" if options.provider == _CUDA else options.provider
    graphs = {True: "graphs", False: "no graphs", None: ""}[options.graphs]
    return " ".join(filter(None, (options.engine, device, provider, graphs)))


def own_precisions(options: EngineOptions, bundle: tuple[str, ...]) -> list[str]:
    """Return the precisions that a variant runs by default: fp16 and ``int8-trt`` on GPUs, ``int8`` on CPUs."""
    if options.engine in PLAN_ENGINES:
        unusual = {"int8"}
    elif options.engine in _NEEDED:
        unusual = {"int8", "int8-trt"} if on_gpu(options) else {"fp16", "int8-trt"}
    else:
        unusual = set()
    return [name for name in known_precisions(options, bundle) if name not in unusual]


def known_precisions(options: EngineOptions, bundle: tuple[str, ...]) -> list[str]:
    """Return the precisions that a variant has: those of the bundle, except for torch, and TF32 where supported."""
    found = (EXACT,) if options.engine == "torch" else bundle
    return [*found, *([TF32] if supports_tf32(options) else [])]
