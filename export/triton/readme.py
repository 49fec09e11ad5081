"""README of a Triton repository: how to start the server, how to send requests, and what has not been tested."""

from __future__ import annotations

import json
import math
import textwrap
from dataclasses import asdict
from typing import Any

from ...runtime.bundle.bundle import Bundle
from ...runtime.bundle.manifest import Manifest
from ..family import ServingSpec
from .config import ModelConfig

_WIDTH = 120
_TEXT = """# {name}

{network} as a model repository for Triton Inference Server, written by vbench from the bundle `{bundle}` ({precision}).
Send requests to `{name}`; the other models are its parts, which it calls through the server. `vbench.json` records how
the repository was made, and `{name}/1/policy.json` holds the exit policy.

## Start the server

From this folder:

    docker run --rm --gpus all --shm-size={shm}g -p 8000:8000 -p 8001:8001 -p 8002:8002 \\
        -v "$PWD":/models:ro nvcr.io/nvidia/tritonserver:25.04-py3 \\
        tritonserver --model-repository=/models --disable-auto-complete-config

Any release since 24.05 with the backends `onnxruntime` and `python` should work. Without a GPU, omit `--gpus all`. Two
batches of up to {slots} clips pass through shared memory: {shm} GB is enough for frames of 640 x 480; larger frames
need more.

## Send a request

    import numpy as np
    import tritonclient.http as triton  # pip install "tritonclient[http]"

    client = triton.InferenceServerClient("localhost:8000")
    frames = np.zeros({example}, np.uint8)  # clips, frames, height, width, RGB
    given = triton.InferInput("FRAMES", list(frames.shape), "UINT8")
    given.set_data_from_numpy(frames)
    result = client.infer("{name}", [given], parameters={example_parameters})
    print(result.as_numpy("CLASS"), result.as_numpy("EXIT_STEP"), result.as_numpy("FRAMES_USED"))

- `FRAMES` uint8 `[clips, T, H, W, 3]`: {frames}
- `LOGITS` float32 `[clips, {classes}]`: the logits of the exit step.
- `CLASS` int32 `[clips, 1]`: the most probable class{class_name}.
- `EXIT_STEP` int32 `[clips, 1]`: 1-based. `FRAMES_USED` int32 `[clips, 1]`: number of frames that the network read.

{request_parameters} Without parameters, the repository's default policy applies: `{policy}`.

## Batching

The server puts up to {slots} clips that arrive within {wait} ms into one batch, regardless of frame size. {batching}
Later clips wait for the next batch or go to the second instance of `{name}`; when both instances call {batched_part}
at the same time, the server may batch these calls.

## Not validated

vbench has not run this repository on a server. Its tests run `model.py` on a fake Python backend with ONNX Runtime and
compare the results with vbench's own; they parse `config.pbtxt` with NVIDIA's `ModelConfig` message where that is
installed. Still to be tested on your server: speed, memory, requests with different frame sizes in one batch
(`allow_ragged_batch`), numeric instead of string thresholds (older releases do not support fractions), requests above
the server's size limit (`--http-max-input-size`), and the {precision} graphs on its GPU.
"""


def readme(
    bundle: Bundle[Manifest], serving: ServingSpec, policy: dict[str, Any], config: ModelConfig, precision: str
) -> str:
    """Return the README for a repository whose network has this ``config``."""
    manifest, slots, frames = bundle.manifest, config.max_batch_size, serving.max_frames
    text = _TEXT.format(
        name=config.name,
        network=manifest.network,
        bundle=bundle.name,
        precision=precision,
        slots=slots,
        shm=_shared_gigabytes(slots, frames),
        example=(1, frames, 240, 320, 3),
        classes=manifest.classes,
        class_name="" if manifest.class_names is None else "; `CLASS_NAME` bytes `[clips, 1]`: its name",
        policy=json.dumps(policy),
        wait=f"{(config.batching_us or 0) / 1000:g}",
        **asdict(serving.text),
    )
    return "\n\n".join(_wrapped(block) for block in text.split("\n\n")).strip() + "\n"


def _wrapped(block: str) -> str:
    """Rewrap a paragraph or a list; leave headings and code unchanged."""
    if block.lstrip("\n").startswith(("#", "    ")):
        return block
    lines = block.replace("\n- ", "\0- ").replace("\n", " ").split("\0")
    indents = ["  " if line.startswith("- ") else "" for line in lines]
    return "\n".join(
        textwrap.fill(line, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
        for line, indent in zip(lines, indents)
    )


def _shared_gigabytes(slots: int, frames: int) -> int:
    """Return the shared memory, in GiB, for two full batches, one per instance of the network."""
    return max(1, math.ceil(2 * slots * frames * 640 * 480 * 3 / 2**30))
