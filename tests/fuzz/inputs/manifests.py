"""Manifests: mutated fields, part names that are paths, and digests that do not match."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.case import Case
from tests.fuzz.json_mutations import CONTROL, mutate_json
from tests.fuzz.samples import Samples, link_tree, rewrite

_PATHS = (
    "../outside/secret",
    "../../outside/secret",
    "/etc/passwd",
    "a/../../x",
    "..",
    ".",
    "",
    "a/b",
    "a\\b",
    "a\x00b",
    "x" * 300,
    *CONTROL,
)


@cache
def _content(bundle: Path) -> Any:
    return json.loads((bundle / "manifest.json").read_bytes())


def make(rng: Random, samples: Samples, folder: Path) -> Case:
    source = rng.choice((samples.bundle, samples.flexible_bundle))
    bundle = link_tree(source, folder / "bundle")
    content = _content(source)
    if rng.random() < 0.7:
        found = mutate_json(rng, content, rng.choice((None, 1)))
        data, what, must_fail = found.data, found.what, False
    else:
        changed = copy.deepcopy(content)
        what, must_fail = rng.choice((_part_name, _file_path, _digest, _version, _other_file))(rng, changed)
        data = json.dumps(changed).encode("utf-8", "surrogatepass")
    rewrite(bundle / "manifest.json", data)
    thorough = rng.random() < 0.02
    commands = (("inspect", "bundle", "--json"), ("package", "bundle", "-o", "out"), ("inspect", "bundle"))
    return Case(what, lambda: _use(bundle, samples, thorough), rng.choice(commands), must_fail)


def _use(bundle: Path, samples: Samples, thorough: bool) -> object:
    from vbench.runtime.bundle.bundle import open_bundle
    from vbench.runtime.families import family_of
    from vbench.runtime.load import load
    from vbench.runtime.policies.choice import PolicyChoice

    opened = open_bundle(bundle)
    opened.check_files()
    family = family_of(opened.manifest)
    resolved = family.resolve(opened.manifest, PolicyChoice())
    steps = family.steps(opened.manifest)
    family.route(opened.manifest, resolved.policy)
    if not thorough:
        return [*steps]
    network = load(bundle, "ort", threads=1)
    return network.predict(samples.frames)


def _part_name(rng: Random, content: dict[str, Any]) -> tuple[str, bool]:
    name, parts = rng.choice(_PATHS), content["parts"]
    key = rng.choice(list(parts))
    if rng.random() < 0.5:
        parts[name] = parts.pop(key)
    else:
        parts[name] = parts[key]
    return f"a part named {name[:30]!r}", True


def _file(rng: Random, content: dict[str, Any]) -> dict[str, Any]:
    files = rng.choice(list(content["parts"].values()))["files"]
    found: dict[str, Any] = files[rng.choice(list(files))]
    return found


def _file_path(rng: Random, content: dict[str, Any]) -> tuple[str, bool]:
    file = _file(rng, content)
    file["path"] = rng.choice(_PATHS)
    return f"a file at {file['path'][:30]!r}", True


def _digest(rng: Random, content: dict[str, Any]) -> tuple[str, bool]:
    file = _file(rng, content)
    if rng.random() < 0.5:
        file["sha256"] = file["sha256"][::-1]
        return "another digest", True
    file["size_bytes"] += rng.choice((-1, 1, 1000))
    return "another size", True


def _version(rng: Random, content: dict[str, Any]) -> tuple[str, bool]:
    content["schema_version"] = rng.choice((0, 1, 2, 3, 5, 99, "4", 4.5, None, True, [4], -1))
    return f"schema version {content['schema_version']!r}", True


def _other_file(rng: Random, content: dict[str, Any]) -> tuple[str, bool]:
    file, other = _file(rng, content), _file(rng, content)
    file["path"] = other["path"] + rng.choice(("x", "/../x.onnx", "/x"))
    return "a file that is not there", True
