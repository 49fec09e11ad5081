"""Annotations and lists of data sets: damaged text, other fields, hostile keys and numbers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.case import Case
from tests.fuzz.json_mutations import STRINGS, damage_text, mutate_json
from tests.fuzz.samples import Samples

_NUMBERS = ("0", "-1", "3", "99999999999999999999", "1e3", "nan", "", "٣", "²", "3 ", "0x3", "1" * 5000)
_KEY = "abc_000001_000011.mp4"


def make(rng: Random, samples: Samples, folder: Path) -> Case:
    name, write = rng.choice(
        (
            ("minikinetics", _minikinetics),
            ("activitynet", _activitynet),
            ("sthv1", _sthv1),
            ("hmdb51", _hmdb51),
            ("kinetics400", _kinetics),
        )
    )
    root = folder / "data"
    root.mkdir()
    files, frames = write(rng)
    for path in frames:
        _add_frames(root / path, samples, name)
    what = _write(rng, root, files)
    command = rng.choice(
        (("data", "check", name, "--data", "data"), ("data", "check", name, "--data", "data", "--json"))
    )
    return Case(f"{name}: {what}", lambda: _use(name, root), command)


def _use(name: str, root: Path) -> object:
    from vbench.bench.datasets import load_dataset
    from vbench.bench.datasets.check import check_data
    from vbench.bench.doctor.discover import check
    from vbench.errors import VbenchError

    found = check_data(name, root)
    check(root.parent)
    try:
        dataset = load_dataset(name, root)
    except VbenchError:
        if not found.ready:
            raise
        return None
    for video in dataset.videos:
        assert video.classes is None or all(0 <= label < len(dataset.class_names) for label in video.classes)
        try:
            source = video.open()
        except VbenchError:
            continue
        try:
            source.expect([0])
            source.read(0)
        except VbenchError:
            continue
        finally:
            source.close()
    return len(dataset.videos)


def _write(rng: Random, root: Path, files: dict[str, str | bytes]) -> str:
    """Write the files, one of them damaged in half of the cases."""
    victim = rng.choice(list(files)) if rng.random() < 0.5 else ""
    said = "text"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        if name == victim:
            found = damage_text(rng, data.decode("utf-8", "replace"))
            data, said = found.data, f"{name} {found.what}"
        (root / name).write_bytes(data)
    return said


def _add_frames(folder: Path, samples: Samples, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pattern = {"sthv1": "{:05d}.jpg", "kinetics400": "image_{:05d}.jpg", "hmdb51": "image_{:05d}.jpg"}.get(name)
    for number in range(1, 5):
        file = pattern.format(number) if pattern else f"frame_{number:04}.jpeg"
        os.link(samples.pictures / "a.jpeg", folder / file)


def _field(rng: Random, *good: str) -> str:
    return rng.choice(good) if rng.random() < 0.7 else rng.choice((*STRINGS, *_NUMBERS))


def _minikinetics(rng: Random) -> tuple[dict[str, str | bytes], list[str]]:
    keys = [_field(rng, _KEY, f"a/b/{_KEY[:-4]} 30 1", "other_000001_000011.mp4") for _ in range(3)]
    rows = [
        ",".join(_field(rng, value) for value in ("run", "abc", "1", "11", "val", "0")[: rng.choice((6, 6, 6, 5, 0))])
        for _ in range(2)
    ]
    good = "run,abc,1,11,val,0"
    labels = "\n".join(("label,youtube_id,time_start,time_end,split,is_cc", good, *rows))
    classes = "\n".join(_field(rng, "run", "walk") for _ in range(3))
    return {"split.txt": "\n".join(keys), "kinetics_val.csv": labels, "classes.txt": classes}, [f"frames/{_KEY}"]


def _activitynet(rng: Random) -> tuple[dict[str, str | bytes], list[str]]:
    entry: dict[str, Any] = {"subset": "validation", "annotations": [{"label": "run", "segment": [0, 1]}]}
    document = {"database": {"abc": entry, "def": {**entry, "annotations": []}}}
    labels = mutate_json(rng, document).data if rng.random() < 0.8 else json.dumps(document).encode()
    files: dict[str, str | bytes] = {"labels.json": labels, "classes.txt": "run\nwalk"}
    if rng.random() < 0.3:
        files["split.txt"] = _field(rng, "v_abc.mp4")
    return files, ["frames/v_abc.mp4"]


def _list(rng: Random, path: str) -> str:
    rows = [" ".join((_field(rng, path), _field(rng, "4"), _field(rng, "0", "1"))) for _ in range(rng.randrange(4))]
    return "\n".join((f"{path} 4 0", *rows))


def _sthv1(rng: Random) -> tuple[dict[str, str | bytes], list[str]]:
    files: dict[str, str | bytes] = {"val_videofolder.txt": _list(rng, rng.choice(("123", "a/123", "/data/x/123")))}
    if rng.random() < 0.5:
        files["category.txt"] = "\n".join(_field(rng, f"Putting [something] {n}", f"walk {n}") for n in range(3))
    return files, ["123"]


def _kinetics(rng: Random) -> tuple[dict[str, str | bytes], list[str]]:
    files: dict[str, str | bytes] = {"val_videofolder.txt": _list(rng, "val/run/123")}
    if rng.random() < 0.5:
        files["class_index.txt"] = "\n".join(_field(rng, "run", "walk", "run 0", "walk 1") for _ in range(3))
    return files, ["val/run/123"]


def _hmdb51(rng: Random) -> tuple[dict[str, str | bytes], list[str]]:
    if rng.random() < 0.5:
        return {"hmdb51_val_split_1_rawframes.txt": _list(rng, "run/123")}, ["run/123"]
    line = " ".join((_field(rng, "123.avi"), _field(rng, "2")))
    names = [f"class{number}" for number in range(rng.choice((50, 51, 51)))]
    return {f"splits/{name}_test_split1.txt": f"1{name}.avi 2\n{line}" for name in names}, ["class0/123"]
