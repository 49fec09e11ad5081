"""Builder, configuration and timing cache."""

from __future__ import annotations

import json
from typing import Any

from .bindings import Blob, Implementation, Shape, World
from .misuse import Misuse
from .model import Model, Plan, Range, RefusedError
from .network import NetworkImpl

_NO_DEVICE = "CUDA initialization failure with error: 100. Please check your CUDA installation"
_NO_DRIVER = "CUDA initialization failure with error: 35. Please check your CUDA installation"
_LEVELS = range(6)

# Flags that change where a plan runs or what it contains: not supported, so rejected.
_BEYOND = (
    *("REFIT", "VERSION_COMPATIBLE", "EXCLUDE_LEAN_RUNTIME", "STRIP_PLAN", "REFIT_IDENTICAL", "REFIT_INDIVIDUAL"),
    *("WEIGHT_STREAMING", "WEIGHTLESS", "INT8", "BF16", "FP8", "INT4", "FP4"),
)


def need_gpu(world: World, logger: Any, what: str) -> None:
    """Raise pybind11's error for a builder or a runtime without a GPU."""
    faults = world.machine.faults
    if faults.device or faults.driver:
        world.log(logger, "ERROR", _NO_DRIVER if faults.driver else _NO_DEVICE)
        raise TypeError(f"pybind11::init(): factory function returned nullptr ({what})")


class ProfileImpl(Implementation):
    """``IOptimizationProfile``."""

    api = "IOptimizationProfile"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.ranges: dict[str, Range] = {}

    def set_shape(self, input: str, min: tuple[int, ...], opt: tuple[int, ...], max: tuple[int, ...]) -> None:
        if not len(min) == len(opt) == len(max):
            raise ValueError("Shape provided for opt is inconsistent with other shapes.")
        if not all(0 <= low <= best <= high for low, best, high in zip(min, opt, max)):
            raise ValueError("Shape provided for opt is inconsistent with other shapes.")
        self.ranges[input] = (min, opt, max)

    def get_shape(self, input: str) -> list[Shape]:
        if input not in self.ranges:
            raise ValueError(f"No shapes were set for {input}")
        return [Shape(shape) for shape in self.ranges[input]]


class TimingCacheImpl(Implementation):
    """``ITimingCache``: the tactics timed for one release on one GPU."""

    api = "ITimingCache"

    def __init__(self, world: World, key: list[Any], tactics: set[str]) -> None:
        super().__init__(world)
        self.key, self.tactics = key, tactics

    def serialize(self) -> Blob:
        return Blob(b"trtc-standin\x00" + json.dumps([self.key, sorted(self.tactics)]).encode())

    def combine(self, input_cache: TimingCacheImpl, ignore_mismatch: bool) -> bool:
        if input_cache.key != self.key and not ignore_mismatch:
            return False
        self.tactics |= input_cache.tactics
        return True

    def reset(self) -> bool:
        self.tactics.clear()
        return True


class ConfigImpl(Implementation):
    """``IBuilderConfig``."""

    api = "IBuilderConfig"

    def __init__(self, world: World, logger: Any) -> None:
        super().__init__(world)
        self._logger = logger
        self._pools: dict[Any, int] = {}
        self._cache: TimingCacheImpl | None = None
        self._level = 3
        self.flags = 1 << int(world.enum("BuilderFlag", "TF32"))
        self.max_aux_streams = 0
        self.avg_timing_iterations = 1
        self.profiling_verbosity = world.enum("ProfilingVerbosity", "LAYER_NAMES_ONLY")
        self.hardware_compatibility_level = world.enum("HardwareCompatibilityLevel", "NONE")
        self.profiles: list[ProfileImpl] = []

    @property
    def builder_optimization_level(self) -> int:
        return self._level

    @builder_optimization_level.setter
    def builder_optimization_level(self, level: int) -> None:
        if level not in _LEVELS:
            raise Misuse("optimization level", f"{level} is silently ignored; 0 to 5")
        self._level = level

    @property
    def num_optimization_profiles(self) -> int:
        return len(self.profiles)

    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
        if pool_size > self.world.machine.memory.total:
            raise Misuse("memory pool limit", f"{pool_size} is more than the device has, and ignored")
        self._pools[pool] = pool_size

    def get_memory_pool_limit(self, pool: Any) -> int:
        return self._pools.get(pool, self.world.machine.memory.total)

    def set_flag(self, flag: Any) -> None:
        self.flags |= 1 << int(flag)

    def clear_flag(self, flag: Any) -> None:
        self.flags &= ~(1 << int(flag))

    def get_flag(self, flag: Any) -> bool:
        return bool(self.flags >> int(flag) & 1)

    def add_optimization_profile(self, profile: ProfileImpl) -> int:
        if not profile.ranges:
            self.world.log(self._logger, "ERROR", "IBuilderConfig::addOptimizationProfile: the profile is not valid")
            return -1
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def create_timing_cache(self, serialized_timing_cache: bytes) -> TimingCacheImpl | None:
        key = _cache_key(self.world)
        if not serialized_timing_cache:
            return TimingCacheImpl(self.world, key, set())
        if not serialized_timing_cache.startswith(b"trtc-standin\x00"):
            self.world.log(self._logger, "ERROR", "ICache::deserialize: the timing cache has an invalid header")
            return None
        found, tactics = json.loads(serialized_timing_cache[len(b"trtc-standin\x00") :])
        return TimingCacheImpl(self.world, found, set(tactics))

    def set_timing_cache(self, cache: TimingCacheImpl | None, ignore_mismatch: bool) -> bool:
        if cache is None:
            raise Misuse("timing cache is None", "create_timing_cache failed: check its return value")
        version, *device = _cache_key(self.world)
        if cache.key[0] != version or (cache.key[1:] != device and not ignore_mismatch):
            self.world.log(self._logger, "WARNING", "the timing cache is of another release or device: not used")
            return False
        self._cache = cache
        return True

    def get_timing_cache(self) -> TimingCacheImpl | None:
        return self._cache

    def time(self, tactics: set[str]) -> set[str]:
        """Return the tactics that are not in the cache, and add them."""
        if self._cache is None or not self._level:
            return tactics
        missed = tactics - self._cache.tactics
        self._cache.tactics |= tactics
        return missed


def _cache_key(world: World) -> list[Any]:
    return [world.api.version, world.machine.gpu, *world.machine.sm]


class BuilderImpl(Implementation):
    """``Builder``."""

    api = "Builder"

    def __init__(self, world: World, logger: Any) -> None:
        super().__init__(world)
        need_gpu(world, logger, "Builder")
        self.logger = logger
        self.num_DLA_cores = 0
        if world.ten:
            self.platform_has_fast_fp16 = self.platform_has_fast_int8 = self.platform_has_tf32 = True

    def create_network(self, flags: int = 0) -> NetworkImpl:
        known = max(int(flag) for flag in self.world.enums["NetworkDefinitionCreationFlag"].__members__.values())  # type: ignore[attr-defined]
        if flags >> (known + 1):
            raise Misuse("network flags", f"{flags:#x} has unknown bits; pass 1 << int(flag)")
        return NetworkImpl(self.world, self, flags)

    def create_builder_config(self) -> ConfigImpl:
        return ConfigImpl(self.world, self.logger)

    def create_optimization_profile(self) -> ProfileImpl:
        return ProfileImpl(self.world)

    def build_serialized_network(self, network: NetworkImpl, config: ConfigImpl) -> Blob | None:
        self.world.log(self.logger, "INFO", "Local timing cache in use. Profiling results in this builder pass ...")
        try:
            plan = plan_of(self.world, network, config)
        except RefusedError as error:
            self.world.log(self.logger, "ERROR", f"IBuilder::buildSerializedNetwork: {error}")
            return None
        self.world.machine.counters.builds += 1
        return Blob(plan.dump())


def plan_of(world: World, network: NetworkImpl, config: ConfigImpl) -> Plan:
    """Build.

    Raises:
        RefusedError: the plan cannot be built.
    """
    machine, model = world.machine, network.model
    if model is None:
        raise RefusedError("Error Code 4: API Usage Error (Network must have at least one output)")
    if machine.faults.build:
        raise RefusedError("Error Code 10: Internal Error (Could not find any implementation for node)")
    _within(world, config)
    half = world.ten and config.get_flag(world.enum("BuilderFlag", "FP16"))
    if half and network.strong:
        raise RefusedError("Error Code 4: API Usage Error (precision flags cannot be set for a strongly typed network)")
    if not network.strong:
        model = model.with_types("HALF" if half else "FLOAT")
    profiles = tuple(_covered(model, profile.ranges) for profile in config.profiles)
    if any(tensor.dynamic for tensor in model.inputs) and not profiles:
        raise RefusedError(
            "Error Code 4: API Usage Error (Network has dynamic or shape inputs, but no optimization profile has been "
            "defined.)"
        )
    missed = config.time({f"{layer.operator}:{layer.dtypes}:{layer.name}" for layer in model.layers})
    if missed and config.get_flag(world.enum("BuilderFlag", "ERROR_ON_TIMING_CACHE_MISS")):
        raise RefusedError("Error Code 10: Internal Error (timing cache miss)")
    machine.counters.tactics_timed += len(missed)
    verbosity = config.profiling_verbosity.name
    name = network.name if network.name != "Unnamed Network 0" else ""
    streams, tf32 = config.max_aux_streams, config.get_flag(world.enum("BuilderFlag", "TF32"))
    return Plan(world.api.version, machine.gpu, machine.sm, name, verbosity, streams, tf32, profiles, model)


def _within(world: World, config: ConfigImpl) -> None:
    known = world.enums["BuilderFlag"].__members__  # type: ignore[attr-defined]
    beyond = [name for name in _BEYOND if name in known and config.get_flag(known[name])]
    if beyond or config.hardware_compatibility_level.name != "NONE":
        raise NotImplementedError(f"the fake does not build for {beyond or 'other hardware'}")


def _covered(model: Model, ranges: dict[str, Range]) -> dict[str, Range]:
    inputs = {tensor.name: tensor for tensor in model.inputs}
    if stray := sorted(set(ranges) - set(inputs)):
        raise RefusedError(f"Error Code 4: API Usage Error (profile for {stray}, which are not network inputs)")
    for tensor in inputs.values():
        if tensor.dynamic and tensor.name not in ranges:
            raise RefusedError(f"Error Code 4: API Usage Error (no profile for the dynamic input {tensor.name})")
        for shape in ranges.get(tensor.name, ()):
            if len(shape) != len(tensor.shape) or any(is_ not in (-1, at) for is_, at in zip(tensor.shape, shape)):
                raise RefusedError(
                    f"Error Code 4: API Usage Error (profile {shape} does not fit {tensor.name} {tensor.shape})"
                )
    return {name: found for name, found in ranges.items() if inputs[name].dynamic}
