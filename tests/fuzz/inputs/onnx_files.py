"""Graphs whose digests are right: mutated fields, references to other files, and weights that are not finite."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.fuzz.byte_mutations import damage
from tests.fuzz.case import Case
from tests.fuzz.protobuf_mutations import BYTES, VARINT, Field, decode, encode, mutate_message
from tests.fuzz.samples import Samples, link_tree, rewrite

_GRAPH, _INITIALIZER = 7, 5  # fields of ModelProto and GraphProto
_EXTERNAL_DATA, _DATA_LOCATION, _RAW_DATA = 13, 14, 9  # fields of TensorProto


def make(rng: Random, samples: Samples, folder: Path) -> Case:
    source = samples.bundle if rng.random() < 0.7 else samples.flexible_bundle
    bundle = link_tree(source, folder / "bundle")
    content = json.loads((source / "manifest.json").read_bytes())
    mutate = rng.choice((_fields, _fields, _fields, _bytes, _reference, _not_finite))
    what, must_fail = mutate(rng, bundle, content, samples)
    rewrite(bundle / "manifest.json", json.dumps(content).encode())
    options = ("--engine", rng.choice(("ort", "ort", "openvino"))) if rng.random() < 0.5 else ()
    command = ("run", "bundle", "--dataset", "folder", "--data", str(samples.data), "-o", "out", "--json", *options)
    return Case(what, lambda: _use(bundle, samples), command, must_fail)


def _use(bundle: Path, samples: Samples) -> object:
    from vbench.errors import UsageError
    from vbench.runtime.load import load

    # Every step runs, so that no mutated part is left out.
    try:
        network = load(bundle, "ort", threads=1, first_threshold=1.0, gate_threshold=1.0)
    except UsageError:  # not a FrameExit
        network = load(bundle, "ort", threads=1, cascade=1.0)
    return network.predict(samples.frames).probabilities


def _names(content: dict[str, Any]) -> list[str]:
    return [name for name in content["parts"] if name != "preprocess"]


def _replace(bundle: Path, content: dict[str, Any], part: str, data: bytes) -> None:
    """Write a part's graph, with its digest in the manifest."""
    for file in content["parts"][part]["files"].values():
        rewrite(bundle / file["path"], data)
        file["sha256"], file["size_bytes"] = hashlib.sha256(data).hexdigest(), len(data)


def _graph(bundle: Path, content: dict[str, Any], part: str) -> bytes:
    return (bundle / content["parts"][part]["files"]["fp32"]["path"]).read_bytes()


def _fields(rng: Random, bundle: Path, content: dict[str, Any], samples: Samples) -> tuple[str, bool]:
    part = rng.choice(list(content["parts"]))
    found = mutate_message(rng, _graph(bundle, content, part))
    _replace(bundle, content, part, found.data)
    return f"{part}: {found.what}", False


def _bytes(rng: Random, bundle: Path, content: dict[str, Any], samples: Samples) -> tuple[str, bool]:
    part = rng.choice(list(content["parts"]))
    found = damage(rng, _graph(bundle, content, part))
    _replace(bundle, content, part, found.data)
    return f"{part}: {found.what}", False


def _tensors(message: list[Field]) -> list[Field]:
    graph = next(each for each in message if each.number == _GRAPH)
    return [each for each in graph.fields if each.number == _INITIALIZER and each.fields]


def _entry(key: bytes, *values: bytes) -> Field:
    pairs = [Field(1, BYTES, key), *(Field(2, BYTES, value) for value in values)]
    return Field(_EXTERNAL_DATA, BYTES, b"", pairs)


def _reference(rng: Random, bundle: Path, content: dict[str, Any], samples: Samples) -> tuple[str, bool]:
    """Let a tensor refer to a file that the manifest does not name, in several encodings."""
    candidates = [part for part in _names(content) if _tensors(decode(_graph(bundle, content, part)))]
    part = rng.choice(candidates)
    message = decode(_graph(bundle, content, part))
    tensor = rng.choice(_tensors(message))
    target = rng.choice((b"../../outside/secret", str(samples.outside / "secret").encode(), b"other.bin", b"."))
    rewrite(bundle / "other.bin", bytes(1 << 16))
    good = next((file["path"] for file in content["weights"].values()), "weights.bin").encode()
    entries = rng.choice(
        (
            [_entry(b"location", target)],
            [_entry(b"location", good, target)],
            [_entry(b"location", good), _entry(b"location", target)],
            [_entry(b"location", target), _entry(b"location", good)],
            [Field(_EXTERNAL_DATA, BYTES, b"", [Field(2, BYTES, target), Field(1, BYTES, b"location")])],
            [Field(_EXTERNAL_DATA, BYTES, b"", [Field(1, BYTES, b"x"), *_entry(b"location", target).fields])],
        )
    )
    # external data replaces the tensor's own
    kept = [each for each in tensor.fields if each.number not in (_EXTERNAL_DATA, _DATA_LOCATION, _RAW_DATA, 4)]
    tensor.fields = [*kept, *entries, Field(_DATA_LOCATION, VARINT, 1)]
    _replace(bundle, content, part, encode(message))
    return f"{part} refers to {target[-20:]!r} with {len(entries)} entries", True


def _not_finite(rng: Random, bundle: Path, content: dict[str, Any], samples: Samples) -> tuple[str, bool]:
    """Put NaN or infinities in the biases of all classifiers, or of all whole networks."""
    from onnx import load_model_from_string, numpy_helper

    value = rng.choice((np.nan, np.inf, -np.inf))
    classes, changed = content["classes"], 0
    for part in _names(content):
        if not part.startswith(("classifier", "frames_")):
            continue
        model = load_model_from_string(_graph(bundle, content, part))
        for tensor in model.graph.initializer:
            if list(tensor.dims) == [classes] and not tensor.external_data:
                tensor.CopyFrom(numpy_helper.from_array(np.full(classes, value, np.float32), tensor.name))
                changed += 1
        _replace(bundle, content, part, model.SerializeToString())
    parts = copy.copy(content["parts"])
    return f"{changed} biases of {len(parts)} parts are {value}", changed > 0
