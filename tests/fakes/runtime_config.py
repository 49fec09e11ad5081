"""Runtime configuration and runtime cache of TensorRT-RTX, which compiles kernels when an engine first runs."""

from __future__ import annotations

import json
from typing import Any

from .bindings import Blob, Implementation, World

_MAGIC = b"fake runtime cache\x00"


class RuntimeCacheImpl(Implementation):
    """``IRuntimeCache``: names of compiled kernels, for one release on one GPU."""

    api = "IRuntimeCache"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.kernels: set[str] = set()

    def serialize(self) -> Blob:
        return Blob(_MAGIC + json.dumps([self._environment(), sorted(self.kernels)]).encode())

    def deserialize(self, blob: bytes) -> bool:
        if not blob.startswith(_MAGIC):
            return False
        environment, kernels = json.loads(blob[len(_MAGIC) :])
        if environment != self._environment():
            return False
        self.kernels = set(kernels)
        return True

    def reset(self) -> bool:
        self.kernels.clear()
        return True

    def _environment(self) -> list[Any]:
        return [self.world.api.version, self.world.machine.gpu, *self.world.machine.sm]


class RuntimeConfigImpl(Implementation):
    """``IRuntimeConfig``."""

    api = "IRuntimeConfig"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.strategy = world.enum("ExecutionContextAllocationStrategy", "STATIC")
        self.cache: RuntimeCacheImpl | None = None
        if world.rtx:
            self.cuda_graph_strategy = world.enum("CudaGraphStrategy", "DISABLED")

    def set_execution_context_allocation_strategy(self, strategy: Any) -> None:
        self.strategy = strategy

    def get_execution_context_allocation_strategy(self) -> Any:
        return self.strategy

    def create_runtime_cache(self) -> RuntimeCacheImpl:
        return RuntimeCacheImpl(self.world)

    def set_runtime_cache(self, cache: RuntimeCacheImpl | None = None) -> bool:
        self.cache = cache
        return True

    def get_runtime_cache(self) -> RuntimeCacheImpl | None:
        return self.cache
