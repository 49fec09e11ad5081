"""Frames of other libraries, exchanged through DLPack: where they are, and as arrays if they are in host memory."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ...errors import FrameError

_HINT = "return uint8 RGB [H, W, 3]"
_HOST = (1, 3)  # kDLCPU, kDLCUDAHost (page-locked)
_DEVICES = {2: "cuda", 10: "rocm", 13: "cuda"}  # kDLCUDA, kDLROCM, kDLCUDAManaged


@runtime_checkable
class DLPackFrame(Protocol):
    """A frame that belongs to another library: a tensor of PyTorch or CuPy, or the output of a decoder on a GPU."""

    def __dlpack__(self, *, stream: Any = None) -> Any:
        """Return a capsule with the frame, ready for use on ``stream``."""

    def __dlpack_device__(self) -> tuple[int, int]:
        """Return the type (an integer of DLPack) and the number of the device that holds the frame."""


Frame = NDArray[np.uint8] | DLPackFrame


def device_of(frame: Frame) -> str | None:
    """Return the device that holds a frame, such as ``cuda:0``; None for host memory.

    Raises:
        FrameError: the object is neither an array nor a DLPack object.
    """
    if isinstance(frame, np.ndarray):
        return None
    if isinstance(frame, type) or not isinstance(frame, DLPackFrame):
        raise FrameError(f"a frame cannot be of type {type(frame).__name__}", _HINT)
    try:
        kind, number = map(int, frame.__dlpack_device__())
    except Exception as error:  # whatever the other library raises
        raise _unreadable(frame, error) from error
    return None if kind in _HOST else f"{_DEVICES.get(kind, f'DLPack device {kind}')}:{number}"


def host_frame(frame: Frame) -> NDArray[np.uint8]:
    """Return a frame in host memory as uint8 RGB [H, W, 3], without copying it.

    Raises:
        FrameError: the frame is on a device, or is not uint8 RGB [H, W, 3].
    """
    device = device_of(frame)
    if device is not None:
        raise FrameError(f"the frame is on {device}", "return frames in host memory")
    array = frame if isinstance(frame, np.ndarray) else _import(frame)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise FrameError(f"a frame is {array.dtype} {list(array.shape)}", _HINT)
    return array


def _import(frame: DLPackFrame) -> NDArray[Any]:
    try:
        return np.from_dlpack(frame)
    except Exception as error:  # whatever the other library raises
        raise _unreadable(frame, error) from error


def _unreadable(frame: DLPackFrame, error: Exception) -> FrameError:
    return FrameError(f"a frame of type {type(frame).__name__} cannot be read through DLPack: {error!r}", _HINT)
