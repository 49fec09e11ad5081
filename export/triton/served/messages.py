"""Tensors of requests and responses: the interface that clients see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import ArrayLike, NDArray

from ....errors import FrameError, OverloadError, UsageError, VbenchError
from ....runtime.scheduler.results import Prediction
from .clip_request import Answer
from .one_line import one_line

FRAMES = "FRAMES"
_AXES = 5


def frames_of(request: Any) -> NDArray[np.uint8]:
    """Return the clips of a request, uint8 ``[clips, T, H, W, 3]``; they are valid as long as the request lives.

    Raises:
        UsageError: the tensor is missing, empty, or of another form.
    """
    tensor = pb_utils.get_input_tensor_by_name(request, FRAMES)
    frames = None if tensor is None else tensor.as_numpy()
    if frames is None or frames.dtype != np.uint8 or frames.ndim != _AXES or frames.shape[-1] != 3:
        raise UsageError(f"{FRAMES} must be uint8 [clips, T, H, W, 3]", "send decoded RGB frames")
    if 0 in frames.shape:
        raise UsageError(f"{FRAMES} {list(frames.shape)} is empty", "send at least one clip with one frame")
    return cast("NDArray[np.uint8]", frames)


def response(answer: Answer, request: Any) -> Any:
    """Return the response to a request, with the outputs that it asks for.

    The backend would drop the others itself, but without holding the interpreter's lock, which crashes Python 3.12.
    """
    if isinstance(answer, VbenchError):
        return _error(answer)
    try:
        requested = set(request.requested_output_names())
        outputs = {name: values for name, values in _outputs(answer).items() if name in requested}
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, values) for name, values in outputs.items()])
    except Exception as error:  # without a response, the client would wait forever
        return _error(f"the response cannot be sent: {type(error).__name__}: {one_line(error)}")


def _error(problem: object) -> Any:
    """Return a response whose error code tells a client whether its request, the load or the server is at fault."""
    kinds = pb_utils.TritonError
    if isinstance(problem, (UsageError, FrameError)):
        error = kinds(one_line(problem), kinds.INVALID_ARG)
    elif isinstance(problem, OverloadError):
        error = kinds(one_line(problem), kinds.UNAVAILABLE)
    else:
        error = kinds(one_line(problem))
    return pb_utils.InferenceResponse(output_tensors=[], error=error)


def _outputs(predictions: Sequence[Prediction]) -> dict[str, NDArray[Any]]:
    names = [each.name for each in predictions if each.name is not None]
    return {
        "LOGITS": np.stack([each.logits for each in predictions]).astype(np.float32),
        "CLASS": _column([each.label for each in predictions]),
        "EXIT_STEP": _column([each.exit_step for each in predictions]),
        "FRAMES_USED": _column([each.frames_used for each in predictions]),
        **({"CLASS_NAME": np.array([[name.encode()] for name in names], dtype=np.object_)} if names else {}),
    }


def _column(values: ArrayLike) -> NDArray[np.int32]:
    """Return integers as int32 ``[n, 1]``."""
    return np.asarray(values, dtype=np.int32)[:, None]
