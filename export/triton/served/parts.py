"""Call the models that run a network's parts, on the same server (business logic scripting, BLS)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import triton_python_backend_utils as pb_utils

from ....errors import EngineError
from ....runtime.bundle.manifest import PartSpec
from ....runtime.engines.base import Array
from .one_line import one_line

_CONCURRENT_CALLS = 8  # heads of different steps; more would only wait for one another
_HINT = "see the log of the server"


class PartCall(NamedTuple):
    """A call of a part: inputs with the same number of rows, in the manifest's order."""

    part: str
    inputs: Sequence[Array]


class Parts:
    """The models of a network's parts. Thread-safe."""

    def __init__(self, specs: Mapping[str, PartSpec], models: Mapping[str, str], rows: int) -> None:
        """Call the model ``models[part]`` for each part, with at most ``rows`` rows at a time."""
        self.specs, self._models, self._rows = specs, models, rows
        self._pool = ThreadPoolExecutor(_CONCURRENT_CALLS, "vbench-part")

    def run(self, calls: Sequence[PartCall]) -> list[Array]:
        """Return the outputs of independent calls, which run at the same time.

        Raises:
            EngineError: a part failed, is missing, or returned an output of another shape than the manifest's.
        """
        if len(calls) == 1:
            return [self._run(calls[0])]
        return list(self._pool.map(self._run, calls))

    def close(self) -> None:
        """End the threads after their current calls."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, call: PartCall) -> Array:
        rows = len(call.inputs[0])
        batches = [slice(start, start + self._rows) for start in range(0, rows, self._rows)]
        outputs = [self._call(call.part, [each[batch] for each in call.inputs]) for batch in batches]
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)

    def _call(self, part: str, inputs: Sequence[Array]) -> Array:
        if part not in self._models:
            raise EngineError(f"the repository has no model for the part {part}", "write it again with vbench package")
        spec, model = self.specs[part], self._models[part]
        tensors = [pb_utils.Tensor(each.name, np.ascontiguousarray(rows)) for each, rows in zip(spec.inputs, inputs)]
        request = pb_utils.InferenceRequest(
            model_name=model,
            requested_output_names=[spec.output.name],
            inputs=tensors,
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU),  # numpy reads only CPU memory
        )
        try:
            response = request.exec()
        except Exception as error:  # the backend raises exceptions of its own types
            raise EngineError(f"cannot call the model {model}: {one_line(error)}", _HINT) from None
        if response.has_error():
            raise EngineError(f"the model {model} failed: {one_line(response.error().message())}", _HINT)
        tensor = pb_utils.get_output_tensor_by_name(response, spec.output.name)
        expected = f"{spec.output.name} {spec.output.dtype} {[len(inputs[0]), *spec.output.shape[1:]]}"
        output = None if tensor is None else np.asarray(tensor.as_numpy())
        found = "nothing" if output is None else f"{spec.output.name} {output.dtype} {list(output.shape)}"
        if output is None or found != expected:
            raise EngineError(
                f"the model {model} returned {found} instead of {expected}",
                "write the repository again with vbench package",
            )
        return output
