"""README of a Triton repository: how to start the server, how to send requests, and what was tested."""

from __future__ import annotations

import json
import math
import textwrap
from dataclasses import asdict
from typing import Any

from ...runtime.bundle.bundle import Bundle
from ...runtime.bundle.manifest import Manifest
from ..family import ServingSpec
from .archive import requirements
from .config import ModelConfig
from .options import PackageOptions

_WIDTH = 120
_TEXT = """# {name}

{network} as a model repository for Triton Inference Server, written by vbench from the bundle `{bundle}` ({precision}).
Send requests to `{name}`; the other models are its parts, which it calls through the server. `{name}/1/vbench.zip`
holds the part of vbench that runs there, `policy.json` the exit policy and the other settings. `vbench.json` records
how the repository was made.

## Start the server

From this folder:

    docker run --rm {gpus}--shm-size={shm}g -p 8000:8000 -p 8001:8001 -p 8002:8002 \\
        -v "$PWD":/models:ro nvcr.io/nvidia/tritonserver:24.10-py3 \\
        bash -c 'pip install {packages} && \\
            exec tritonserver --model-repository=/models --disable-auto-complete-config'

The server's Python has to be version 3.10 or newer and needs these packages. Servers before release 24.11 misread the
arrays of NumPy 2, in which case `{name}` refuses to load. {parts}{schedule}Clips pass through shared memory: {shm} GiB
is enough for {clips} clips that run and {clips} that wait, with frames of 640 x 480; larger frames need more.

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

{request_parameters} Without parameters, the repository's default policy applies: `{policy}`. If a clip
fails, its request fails with one line that states the reason; other requests are not affected.

## Batching

{schedule_text} {batching}

## Metrics

The metrics endpoint (port 8002) counts `vbench_clips_total` by `exit_step`, `vbench_frames_used_total` and
`vbench_clips_failed_total`.

## What was tested

vbench's tests serve the demo's FrameExit and TSM-FFN on tritonserver 2.51.0 (the server of container 24.10, from the
package nvidia-pytriton 0.7.0) without a GPU, with parts in the Python backend (`--parts python`), and compare every
class, exit step and logit with vbench's own. NVIDIA's backend `onnxruntime`, containers, GPUs, and other releases have
not been run. Still to be tested on your server: speed, memory, requests above its size limit
(`--http-max-input-size`), and the {precision} graphs on its GPU.
"""

_INFLIGHT = (
    "Batches form in flight: a clip takes a slot as soon as one is free, up to {slots} clips at a time, and shares the "
    "calls of clips that started earlier; its request is answered when all its clips have ended. Requests whose "
    "parameters require the same parts share batches."
)
_LOCKSTEP = (
    "The server puts up to {slots} clips that arrive within {wait} ms into one batch, regardless of frame size. They "
    "start together and are answered when the last one has ended. Later clips wait for the next batch or go to the "
    "second instance of `{name}`; when both instances call {batched_part} at the same time, the server may batch these "
    "calls."
)
_NEEDS_SENDER = (
    "In-flight batching answers requests after `execute` has returned, which the backend `python` supports since "
    "mid-2024; for an older server, package with `--schedule lockstep`. "
)
_PYTHON_PARTS = (
    "The parts run with ONNX Runtime inside the backend `python`, each with the number of threads in "
    "`VBENCH_PART_THREADS` (default: 1). "
)
_ONNX_PARTS = "The parts need the backend `onnxruntime`. Without a GPU, omit `--gpus all`. "


def readme(
    bundle: Bundle[Manifest],
    serving: ServingSpec,
    policy: dict[str, Any],
    config: ModelConfig,
    options: PackageOptions,
) -> str:
    """Return the README for a repository whose network has this ``config``."""
    manifest, slots, frames = bundle.manifest, config.max_batch_size, serving.max_frames
    inflight, python = options.schedule == "inflight", options.parts == "python"
    clips = max(1, slots // serving.rows)
    batching = (_INFLIGHT if inflight else _LOCKSTEP).format(
        name=config.name,
        slots=clips,
        wait=f"{(config.batching_us or 0) / 1000:g}",
        batched_part=serving.text.batched_part,
    )
    text = _TEXT.format(
        name=config.name,
        network=manifest.network,
        bundle=bundle.name,
        precision=options.precision,
        gpus="" if python else "--gpus all ",
        packages=requirements("model", *(["part_runner"] if python else [])),
        parts=_PYTHON_PARTS if python else _ONNX_PARTS,
        schedule=_NEEDS_SENDER if inflight else "",
        schedule_text=batching,
        clips=clips,
        shm=_shared_gigabytes(clips, frames),
        example=(1, frames, 240, 320, 3),
        classes=manifest.classes,
        class_name="" if manifest.class_names is None else "; `CLASS_NAME` bytes `[clips, 1]`: its name",
        policy=json.dumps(policy),
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


def _shared_gigabytes(clips: int, frames: int) -> int:
    """Return the shared memory, in GiB, for three full batches.

    Two are those of two instances, or one that runs and one that waits; the third is a copy for the preprocessing.
    """
    return max(1, math.ceil(3 * clips * frames * 640 * 480 * 3 / 2**30))
