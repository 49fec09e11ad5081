"""Clips in memory: unexpected types, shapes and values."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.fuzz.case import Case
from tests.fuzz.samples import Samples

_DTYPES = ("uint8", "int8", "float16", "float32", "float64", "int64", "bool", "complex64", "object", "U1", "V4")
_SHAPES = (
    (),
    (0,),
    (10,),
    (10, 3, 32, 32),
    (1, 10, 3, 32, 32),
    (10, 32, 32, 3),
    (0, 32, 32, 3),
    (3, 8, 8, 4),
    (1, 1, 1, 3),
)
_VALUES = (float("nan"), float("inf"), -float("inf"), 1e38, -1e38, 1e-45)


@cache
def _network(bundle: Path, name: str) -> Any:
    from vbench.runtime.load import load

    return load(bundle, "ort", threads=1, **({"frames": 4} if name == "tsm" else {}))


def make(rng: Random, samples: Samples, folder: Path) -> Case:
    del folder
    bundle, steps = rng.choice(((samples.bundle, 10), (samples.flexible_bundle, 4)))
    clip, what, must_fail = rng.choice((_pixels, _pixels, _other, _frames, _object))(rng, steps)
    return Case(what, lambda: _network(bundle, bundle.name).predict(clip).probabilities, (), must_fail)


def _pixels(rng: Random, steps: int) -> tuple[Any, str, bool]:
    clip = np.random.default_rng(rng.randrange(1000)).normal(size=(steps, 3, 32, 32)).astype(np.float32)
    value = rng.choice(_VALUES)
    # The first frame that FrameExit reads is the one in the middle, so all frames have the value.
    clip[:, rng.randrange(3), rng.randrange(8, 24), rng.randrange(8, 24)] = value
    return clip, f"pixels with {value}", not np.isfinite(value)


def _other(rng: Random, steps: int) -> tuple[Any, str, bool]:
    dtype, shape = rng.choice(_DTYPES), rng.choice(_SHAPES)
    clip = np.zeros(shape, dtype)
    return clip, f"{dtype} {list(shape)}", dtype not in ("uint8", "float32") or len(shape) < 4


def _frames(rng: Random, steps: int) -> tuple[Any, str, bool]:
    height, width = rng.choice((1, 2, 31, 32, 200)), rng.choice((1, 2, 33, 64, 3000))
    frames = np.zeros((rng.choice((1, 2, 9, 10, 11)), height, width, 3), np.uint8)
    order = rng.choice((frames, frames[::-1], np.asfortranarray(frames), frames[:, ::-1]))
    return order, f"uint8 {list(frames.shape)}", False


def _object(rng: Random, steps: int) -> tuple[Any, str, bool]:
    clip = rng.choice((None, 3, b"bytes", [], [1, 2], {"a": 1}, "", ".", "..", "\x00", Path(), object(), len, int))
    return clip, f"a {type(clip).__name__}", True
