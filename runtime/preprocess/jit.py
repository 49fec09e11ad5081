"""Compile the kernels with Numba, to code that runs on the calling thread and without the GIL.

Explicit signatures compile each kernel once, for read-only frames too. Without ``fastmath``, LLVM neither reorders nor
fuses operations, so results do not depend on the CPU. Numba caches the machine code on disk: compiling takes a second,
loading it takes a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from . import kernels

Kernel = Callable[..., None]


class Kernels(NamedTuple):
    """The functions of `kernels`, compiled or not."""

    write_bilinear_crop: Kernel = kernels.write_bilinear_crop
    filter_columns: Kernel = kernels.filter_columns
    write_filtered_rows: Kernel = kernels.write_filtered_rows


@cache
def compiled_kernels() -> Kernels:
    """Return the compiled kernels.

    Raises:
        ImportError: Numba is not installed, or does not support the installed NumPy.
    """
    from numba import types

    byte_rows = types.Array(types.uint8, 2, "C", readonly=True)
    bytes_out, pixels, table = types.uint8[:, ::1], types.float32[:, :, ::1], types.float32[:, ::1]
    lines, places, floats, weights = types.int64[::1], types.uint64[::1], types.float32[::1], types.int32[:, ::1]
    rows, columns = (lines, lines, floats), (lines, places, places, floats)
    return Kernels(
        _compile(kernels.write_bilinear_crop, byte_rows, pixels, *rows, *columns, lines, floats, floats),
        _compile(kernels.filter_columns, byte_rows, types.int64, places, weights, bytes_out),
        _compile(kernels.write_filtered_rows, byte_rows, lines, weights, table, pixels),
    )


def _compile(function: Kernel, *arguments: Any) -> Kernel:
    from numba import njit, types

    signature = types.void(*arguments)
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        kernel: Kernel = njit(signature, cache=True, **options)(function)
    except RuntimeError:  # neither this folder nor the user's cache folder is writable
        kernel = njit(signature, **options)(function)
    return kernel
