"""Read a checkpoint file safely.

Only ``torch.load(weights_only=True)`` is used: a checkpoint is data, and a file that tries to run code is rejected.
Both torch file formats (zip since 1.6, the legacy format before that) are read, always onto the CPU. The result is a
flat mapping from parameter name to tensor, without the prefix ``module.`` that ``DataParallel`` adds to every name.

FFN's files store the weights under ``state_dict`` (TSM, TEA) or ``model_state`` (SlowFast, Uniformer), along with an
optimizer whose learning rates are numpy scalars. No other foreign objects are accepted. Placeholders replace the
scalars without calling numpy, because only the weights are used.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ...errors import CheckpointError
from .input_size import SIZE_KEYS

StateDict = dict[str, torch.Tensor]

_WRAPPER_PREFIX = "module."
_WEIGHTS = ("state_dict", "model_state")


class _NumpyType:
    """Placeholder for a ``numpy.dtype`` in a file."""

    def __init__(self, *description: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def _numpy_scalar(*content: object) -> None:
    """Placeholder for the numpy function that builds scalars."""


# numpy 1 and numpy 2 pickle the same function under different names.
_ALLOWED: list[Callable[..., object] | tuple[Callable[..., object], str]] = [
    (_NumpyType, "numpy.dtype"),
    (_numpy_scalar, "numpy.core.multiarray.scalar"),
    (_numpy_scalar, "numpy._core.multiarray.scalar"),
]


class Checkpoint(NamedTuple):
    """A checkpoint's tensors by name, on the CPU and in the order of the file, and its other top-level entries."""

    state: StateDict
    entries: dict[str, Any]


def read_checkpoint(path: Path) -> Checkpoint:
    """Return the contents of the checkpoint at ``path``.

    Raises:
        CheckpointError: the file is missing, is not a checkpoint, is truncated, or tries to run code.
    """
    content = _load(path)
    entries: dict[str, Any] = {}
    if isinstance(content, Mapping):
        entries = {str(key): value for key, value in content.items() if not isinstance(value, torch.Tensor)}
        content = {key: value for key, value in content.items() if key not in SIZE_KEYS or key not in entries}
    return Checkpoint(_without_wrapper(_as_tensors(path, content)), entries)


def read_state_dict(path: Path) -> StateDict:
    """Return the tensors of the checkpoint at ``path``; see `read_checkpoint`."""
    return read_checkpoint(path).state


def _load(path: Path) -> object:
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file", "pass the path of a .pth checkpoint")
    if path.stat().st_size == 0:
        raise CheckpointError(f"{path} is empty", "download the checkpoint again")
    try:
        return _quietly(path)
    except pickle.UnpicklingError as error:
        raise _unpickling_error(path, str(error)) from None
    except PermissionError:
        raise CheckpointError(f"{path} is not readable: permission denied", "change its mode or its owner") from None
    except Exception:
        # Damage can raise nearly any exception (EOFError, struct.error, AssertionError), depending on where it is.
        raise _not_readable(path) from None


def _quietly(path: Path) -> object:
    # torch warns about unusual pickle protocols and TorchScript archives, but our error message is enough.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.serialization.safe_globals(_ALLOWED):
            return torch.load(path, map_location="cpu", weights_only=True)


def _unpickling_error(path: Path, message: str) -> CheckpointError:
    # "Unsupported operand", in contrast, means a byte that no pickle contains: damage, or another kind of file.
    refused = re.search(r"GLOBAL ([\w.]+)", message)
    if refused:
        return CheckpointError(
            f"{path} is rejected because it tries to run code ({refused.group(1)})",
            "save a plain mapping of tensors with torch.save(model.state_dict(), path)",
        )
    return _not_readable(path)


def _not_readable(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path} is not a PyTorch checkpoint, or is truncated or damaged",
        "download it again, or use a file written by torch.save(state_dict)",
    )


def _as_tensors(path: Path, content: object) -> StateDict:
    hint = "save it with torch.save(model.state_dict(), path)"
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path} holds an object of type {type(content).__name__}, not a mapping of tensors", hint
        )
    inner = (content.get(key) for key in _WEIGHTS)
    weights = next((found for found in inner if isinstance(found, Mapping)), content)
    # Names with line breaks would break the one-line error messages.
    state = {str(name): value for name, value in weights.items() if _is_plain(value) and str(name).isprintable()}
    if len(state) != len(weights) or not state:
        other = next(
            (f"{key!r} has type {type(v).__name__}" for key, v in weights.items() if str(key) not in state), ""
        )
        raise CheckpointError(
            f"{path} does not hold a state dict" + (f" ({other})" if other else " (it is empty)"), hint
        )
    return state


def _is_plain(value: object) -> bool:
    # Sparse and meta tensors have no values that could be checked and copied.
    return isinstance(value, torch.Tensor) and value.layout == torch.strided and value.device.type == "cpu"


def _without_wrapper(state: StateDict) -> StateDict:
    if all(name.startswith(_WRAPPER_PREFIX) for name in state):
        return {name.removeprefix(_WRAPPER_PREFIX): tensor for name, tensor in state.items()}
    return state
