"""Checkpoints: state dicts with other keys, shapes, types and values, damaged archives, and pickles that run code."""

from __future__ import annotations

import io
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import torch

from tests.fuzz.byte_mutations import damage, truncate
from tests.fuzz.case import Case
from tests.fuzz.samples import Samples

State = dict[str, Any]
# Weights that would change an answer; batch counters are not used.
_UNUSED = "num_batches_tracked"


class Attack:
    """An object whose pickle runs a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch executed",)


@cache
def _content(path: Path) -> Any:
    return torch.load(path, weights_only=False)  # a sample of our own, with numpy scalars


def make(rng: Random, samples: Samples, folder: Path) -> Case:
    source = rng.choice((samples.checkpoint, samples.flexible_checkpoint))
    path = folder / source.name
    if rng.random() < 0.4:
        found = truncate(rng, source.read_bytes()) if rng.random() < 0.3 else damage(rng, source.read_bytes())
        path.write_bytes(found.data)
        return _case(path, found.what, "cut off" in found.what and "," not in found.what)
    content = _content(source)
    nested = "state_dict" in content
    state = OrderedDict(content["state_dict"] if nested else content)
    what, must_fail = rng.choice(_MUTATIONS)(rng, state)
    written: Any = {**content, "state_dict": state} if nested else state
    if rng.random() < 0.1:
        wrapper = rng.choice(_WRAPPERS)
        written, what, must_fail = wrapper(written), f"{what}, wrapped", False
    _save(rng, written, path)
    return _case(path, what, must_fail)


def _case(path: Path, what: str, must_fail: bool) -> Case:
    frames = ("--frames", "2") if path.suffix == ".tar" else ()
    command = ("export", path.name, "-o", "out", "--input-size", "32", *frames)
    return Case(what, lambda: _use(path), command, must_fail)


def _use(path: Path) -> object:
    from vbench.models.checkpoint.recognize import load_network

    network = load_network(path, 32)
    if Path("executed").exists():
        raise AssertionError("the checkpoint ran code")
    return [tensor.numpy() for tensor in network.state_dict().values()]


def _save(rng: Random, content: Any, path: Path) -> None:
    if rng.random() < 0.1:
        path.write_bytes(pickle.dumps(content, protocol=rng.choice((0, 2, 4))))
        return
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=rng.random() < 0.8)
    path.write_bytes(stream.getvalue())


def _key(rng: Random, state: State) -> str:
    return rng.choice([key for key in state if not key.endswith(_UNUSED)])


def _drop(rng: Random, state: State) -> tuple[str, bool]:
    key = _key(rng, state)
    del state[key]
    return f"no {key}", True


def _extra(rng: Random, state: State) -> tuple[str, bool]:
    name = rng.choice(("extra", "module.extra", "a\nb", "\x1b[31m", "x" * 3000, "fc.weight", ""))
    state[name] = torch.zeros(rng.choice(((), (3,), (2, 2))))
    return f"another key {name[:20]!r}", True


def _rename(rng: Random, state: State) -> tuple[str, bool]:
    key = _key(rng, state)
    name = rng.choice((key[1:], key + "x", key.replace("module.", "modul."), "a\x1b[2Jb", "..", key.upper()))
    if name == key:
        return _drop(rng, state)
    state[name] = state.pop(key)
    return f"{key} named {name[:30]!r}", True


def _shape(rng: Random, state: State) -> tuple[str, bool]:
    key = _key(rng, state)
    tensor = state[key]
    other: Callable[[], torch.Tensor] = rng.choice(
        (
            lambda: tensor.reshape(-1),
            lambda: tensor[None],
            lambda: tensor[:0],
            lambda: torch.cat([tensor, tensor]),
            lambda: tensor[:1],
            lambda: torch.zeros(()),
            lambda: torch.zeros((1,) * 12),
            lambda: torch.zeros(1).expand(1 << 20),
        )
    )
    state[key] = other()
    return f"{key} of shape {list(state[key].shape)[:6]}", False


def _dtype(rng: Random, state: State) -> tuple[str, bool]:
    key = _key(rng, state)
    dtype = rng.choice((torch.float16, torch.float64, torch.int8, torch.bool, torch.complex64, torch.bfloat16))
    state[key] = state[key].to(dtype)
    return f"{key} of {dtype}", True


def _not_finite(rng: Random, state: State) -> tuple[str, bool]:
    key = rng.choice([key for key in state if state[key].is_floating_point() and state[key].numel()])
    tensor = state[key].clone()
    value = rng.choice((float("nan"), float("inf"), -float("inf")))
    tensor.view(-1)[rng.randrange(tensor.numel())] = value
    state[key] = tensor
    return f"{key} with {value}", True


def _huge(rng: Random, state: State) -> tuple[str, bool]:
    key = _key(rng, state)
    state[key] = state[key] * rng.choice((1e30, -1e30, 0.0, 1e-40))
    return f"{key} scaled", False


def _object(rng: Random, state: State) -> tuple[str, bool]:
    key = _key(rng, state)
    found = rng.choice((None, 1, "text", [1, 2], {"a": 1}, state[key].numpy().tolist(), state[key].to_sparse()))
    state[key] = found
    return f"{key} is a {type(found).__name__}", True


def _attack(rng: Random, state: State) -> tuple[str, bool]:
    state[rng.choice((_key(rng, state), "attack"))] = Attack()
    return "a pickle that runs code", True


def _meta(rng: Random, state: State) -> tuple[str, bool]:
    key = _key(rng, state)
    state[key] = torch.empty(state[key].shape, device="meta")
    return f"{key} without values", True


_MUTATIONS = (_drop, _extra, _rename, _shape, _shape, _dtype, _not_finite, _not_finite, _huge, _object, _attack, _meta)
_WRAPPERS: tuple[Callable[[Any], Any], ...] = (
    lambda content: [content],
    lambda content: {"state_dict": {"state_dict": content}},
    lambda content: {"model_state": content, "state_dict": content},
    lambda content: {"state_dict": None, **content},
    lambda content: {1: content},
    lambda content: torch.zeros(3),
    lambda content: {},
    lambda content: {"model": content},
)
