"""The README of a repository: how to start the server, how to ask it, what nobody has tried."""

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

{network} as a model repository of Triton Inference Server, written by vbench from the bundle `{bundle}` ({precision}).
`{name}` is the model to ask; the others are its parts, which it calls through the server. `vbench.json` says what it
was made of, `{name}/1/policy.json` when it stops.

## Start the server

From this folder:

    docker run --rm --gpus all --shm-size={shm}g -p 8000:8000 -p 8001:8001 -p 8002:8002 \\
        -v "$PWD":/models:ro nvcr.io/nvidia/tritonserver:25.04-py3 \\
        tritonserver --model-repository=/models --disable-auto-complete-config

Any release since 24.05 that has the backends `onnxruntime` and `python` should do. Without a GPU, leave `--gpus all`
out. The frames of up to {slots} clips, twice, go through shared memory: {shm} GB are enough for frames of 640 x 480,
larger ones need more.

## Ask it

    import numpy as np
    import tritonclient.http as triton  # pip install "tritonclient[http]"

    client = triton.InferenceServerClient("localhost:8000")
    frames = np.zeros({example}, np.uint8)  # clips, frames, height, width, RGB
    given = triton.InferInput("FRAMES", list(frames.shape), "UINT8")
    given.set_data_from_numpy(frames)
    answer = client.infer("{name}", [given], parameters={parameters})
    print(answer.as_numpy("CLASS"), answer.as_numpy("EXIT_STEP"), answer.as_numpy("FRAMES_USED"))

- `FRAMES` uint8 `[clips, T, H, W, 3]`: {frames}
- `LOGITS` float32 `[clips, {classes}]`: those of the step where the clip ended.
- `CLASS` int32 `[clips, 1]`: the most probable class{class_name}.
- `EXIT_STEP` int32 `[clips, 1]`: from 1. `FRAMES_USED` int32 `[clips, 1]`: how many frames the network looked at.

{asked} Without, the repository's own policy holds: `{policy}`.

## How clips are run together

The server puts up to {slots} clips that arrive within {wait} ms into one batch, whatever their frame size. {together}
Clips that arrive later wait for the next batch, or are taken by the other instance of `{name}`; where both call
{shared} at a time, the server may put the calls together.

## Not validated

This repository was not run on a server when it was written. vbench's own tests run `model.py` on a stand-in of the
Python backend, with ONNX Runtime, and compare its answers with vbench's; they read `config.pbtxt` with NVIDIA's
`ModelConfig` message where that is installed. Left to try on yours: speed, memory, requests of different frame sizes in
one batch (`allow_ragged_batch`), thresholds as numbers instead of texts (older releases know no fractions), requests
larger than the server accepts (`--http-max-input-size`), and the {precision} graphs on its GPU.
"""


def readme(
    bundle: Bundle[Manifest], serving: ServingSpec, policy: dict[str, Any], config: ModelConfig, precision: str
) -> str:
    """Return the text for the repository whose network has this ``config``."""
    manifest, slots, frames = bundle.manifest, config.max_batch_size, serving.most_frames
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
    """Break the lines of a paragraph or a list anew; headings and code stay."""
    if block.lstrip("\n").startswith(("#", "    ")):
        return block
    lines = block.replace("\n- ", "\0- ").replace("\n", " ").split("\0")
    indents = ["  " if line.startswith("- ") else "" for line in lines]
    return "\n".join(
        textwrap.fill(line, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
        for line, indent in zip(lines, indents)
    )


def _shared_gigabytes(slots: int, frames: int) -> int:
    """Return room for the clips of a full batch, twice: there are two instances of the network."""
    return max(1, math.ceil(2 * slots * frames * 640 * 480 * 3 / 2**30))
