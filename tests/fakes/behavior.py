"""What calls of the bindings return or raise; run as ``python behavior.py MODULE`` to print it as JSON.

NVIDIA's bindings and the fakes evaluate the same expressions. Like ``describe.py``, the script imports nothing but the
standard library and the bindings. Only TensorRT-RTX has a builder, and can create a ``Runtime`` without a GPU.
"""

from __future__ import annotations

import json
import sys
import warnings
from importlib import import_module
from types import ModuleType
from typing import Any

TYPES = (
    *("shape == (1, 2)", "shape == [1, 2]", "shape == (1, 3)", "shape == shape", "shape == 3", "shape != (1, 2)"),
    *("hash(shape)", "shape[:1]", "shape[-1]", "len(shape)", "list(shape)", "tuple(shape)", "repr(shape)"),
    *("trt.Dims((1.5, 2))", "trt.Dims(5)", "trt.Dims()", "trt.Dims.MAX_DIMS"),
    *("1 << trt.BuilderFlag.TF32", "1 << int(trt.BuilderFlag.TF32)", "trt.BuilderFlag.TF32 == 6", "half.name"),
    *(
        "half == trt.float16",
        "half == trt.float32",
        "half.value",
    ),
    *("trt.Logger.WARNING", "trt.ILogger.ERROR", "trt.Logger.Severity.INFO", "logger.min_severity", "trt.Logger(2)"),
    *("isinstance(logger, trt.ILogger)", "Forgetful()", "setattr(logger, 'typo', 1)", "trt.ICudaEngine()"),
    *("trt.IExecutionContext()", "trt.typo", "trt.BuilderFlag.typo", "half"),
    "setattr(trt.DataType, 'FP8', 1)",
)
RTX = (
    *("setattr(config, 'typo', 1)", "config.typo", "config.set_flag(6)", "setattr(network, 'num_inputs', 1)"),
    *("config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, 1.5)", "builder.create_network(flag=1)"),
    *("parser.parse_from_file(1)", "config.get_flag(trt.BuilderFlag.TF32)", "config.flags"),
    *("config.max_aux_streams", "config.profiling_verbosity", "network.name", "config.num_compute_capabilities"),
    *("config.set_compute_capability(trt.ComputeCapability.SM86, 0)", "config.set_timing_cache(cache, False)"),
    *("setattr(config, 'num_compute_capabilities', 2)", "config.get_compute_capability(1)"),
    *("config.set_compute_capability(trt.ComputeCapability.NONE, 0)", "config.get_compute_capability(0)"),
    *("config.set_compute_capability(trt.ComputeCapability.SM86, 0)", "config.get_compute_capability(0)"),
    *("len(memory)", "memory[0]", "memory.hex()", "bool(memory)", "list(memory)", "memory + b''", "hash(memory) and 1"),
    *("memory.nbytes == len(bytes(memory))", "memory.nbytes == memoryview(memory).nbytes"),
    *("runtime.engine_header_size", "runtime.get_engine_validity(b'foreign')", "runtime.get_engine_validity('x')"),
    *("runtime.deserialize_cuda_engine('x')", "runtime.deserialize_cuda_engine(b'x')"),
    *("setattr(runtime, 'engine_header_size', 1)", "setattr(runtime, 'typo', 1)"),
)


def outcomes(trt: ModuleType) -> list[str]:
    """Return the value of every expression, or the name of the error, in words."""
    warnings.simplefilter("ignore", DeprecationWarning)
    rtx = hasattr(trt, "ComputeCapability")
    names = _names(trt, rtx=rtx)
    return [f"{expression} -> {_outcome(expression, names)}" for expression in TYPES + (RTX if rtx else ())]


def _names(trt: Any, *, rtx: bool) -> dict[str, Any]:
    class Forgetful(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            pass

    logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
    names = {"trt": trt, "shape": trt.Dims((1, 2)), "half": trt.float16, "logger": logger, "Forgetful": Forgetful}
    if not rtx:
        return names
    builder = trt.Builder(logger)
    network, config = builder.create_network(1), builder.create_builder_config()
    cache = config.create_timing_cache(b"")
    return names | {
        "builder": builder,
        "network": network,
        "config": config,
        "parser": trt.OnnxParser(network, logger),
        "cache": cache,
        "memory": cache.serialize(),
        "runtime": trt.Runtime(logger),
    }


def _outcome(expression: str, names: dict[str, Any]) -> str:
    try:
        return repr(eval(expression, names))
    except Exception as error:
        return type(error).__name__


if __name__ == "__main__":
    json.dump(outcomes(import_module(sys.argv[1])), sys.stdout)
