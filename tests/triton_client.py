"""Send requests to a Triton server with NVIDIA's client, in the server's environment, which alone has that client.

Usage: ``python triton_client.py ADDRESS REQUESTS.npz RESPONSES.npz``. This file imports nothing of vbench.

``REQUESTS.npz`` holds the clips as arrays by name, and ``requests``, a JSON text: the number of concurrent ``clients``,
and a list of requests with ``model``, ``clips`` (a name), ``parameters`` and ``outputs`` (None: all).
``RESPONSES.npz`` holds the outputs of request number N as ``N/LOGITS`` and so on, or the text of its error as
``N/error`` and its HTTP status as ``N/status``; ``N/times`` are the times at which it was sent and answered, in seconds
of one clock.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import local

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

LIMIT_S = 60.0
_state = local()


def main(address: str, requests: str, responses: str) -> None:
    with np.load(requests) as arrays:
        job = json.loads(str(arrays["requests"]))
        clips = {name: arrays[name] for name in arrays.files if name != "requests"}
    found: dict[str, np.ndarray] = {}

    def ask(number: int) -> None:
        request = job["requests"][number]
        outputs = send(address, clips[request.pop("clips")], **request)
        found.update({f"{number}/{name}": values for name, values in outputs.items()})

    with ThreadPoolExecutor(job["clients"]) as clients:
        list(clients.map(ask, range(len(job["requests"]))))
    np.savez(responses, **found)


def send(
    address: str, frames: np.ndarray, model: str, parameters: dict[str, object], outputs: list[str] | None
) -> dict[str, np.ndarray]:
    """Return the outputs of a request by name, or its ``error`` and HTTP ``status``."""
    if not hasattr(_state, "client"):
        _state.client = triton.InferenceServerClient(address, connection_timeout=LIMIT_S, network_timeout=LIMIT_S)
    given = triton.InferInput("FRAMES", list(frames.shape), "UINT8")
    given.set_data_from_numpy(frames)
    requested = None if outputs is None else [triton.InferRequestedOutput(name) for name in outputs]
    sent_s = time.perf_counter()
    try:
        result = _state.client.infer(model, [given], outputs=requested, parameters=parameters)
    except InferenceServerException as error:
        return {"error": np.array(error.message()), "status": np.array(str(error.status()))}
    times = np.array([sent_s, time.perf_counter()])
    names = [each["name"] for each in result.get_response()["outputs"]]
    values = {name: result.as_numpy(name) for name in names}
    if "CLASS_NAME" in values:
        values["CLASS_NAME"] = np.array([[text.decode()] for text in values["CLASS_NAME"][:, 0]])
    return {**values, "times": times}


if __name__ == "__main__":
    main(*sys.argv[1:])
