"""Write a bundle as a model repository for Triton Inference Server.

The server may copy a model's folder elsewhere without the others, so shared weights are placed in every folder that
refers to them. The repository is written atomically, and its files are never links into the bundle.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from ... import __version__
from ...errors import UsageError
from ...files import whole_folder
from ...runtime.bundle.bundle import Bundle
from ...runtime.bundle.manifest import Manifest
from ...runtime.engines.base import EngineOptions
from ...runtime.engines.graph_check import graph_files
from ...runtime.families import family_of
from ...runtime.policies.base import Policy
from ...runtime.policies.choice import PolicyChoice
from ...runtime.policies.registry import served_policy
from ..family import EXPORTERS, ServingSpec
from .config import Device, ModelConfig
from .model_configs import model_name, network_config, network_settings, part_config, part_model
from .model_source import model_source
from .readme import readme

RECORD = "vbench.json"
_VERSION = "1"


@dataclass(frozen=True)
class PackageOptions:
    """Options of ``vbench package``.

    Attributes:
        precision: one of the bundle's precisions.
        slots: maximum number of clips that run together, and of rows per call to a part.
        device: where the parts run; with ``auto``, the server chooses.
        force: whether to replace an existing repository.
    """

    precision: str = "fp32"
    slots: int = 32
    device: Device = "auto"
    force: bool = False

    def check(self) -> None:
        """Raise UsageError if a value is out of range."""
        if self.slots < 1:
            raise UsageError(f"--slots must be >= 1, got {self.slots}", "choose a larger number")
        if self.device not in get_args(Device):
            raise UsageError(f"unknown device {self.device!r}", f"choose one of {', '.join(get_args(Device))}")


@dataclass(frozen=True)
class Repository:
    """A written repository. ``name`` is the model that clients call; ``linked`` and ``copied`` count weight files."""

    path: Path
    name: str
    models: tuple[str, ...]
    policy: dict[str, Any]
    linked: int
    copied: int


@dataclass
class _Weights:
    """The shared weights file, which is copied once and then hard-linked where the file system supports it."""

    source: Path | None
    first: Path | None = None
    linked: int = 0
    copied: int = 0

    def add_to(self, graph: Path, folder: Path) -> None:
        """Place the file in ``folder`` if ``graph`` refers to it."""
        if self.source is None or self.source.name.encode() not in graph.read_bytes():
            return
        target = folder / self.source.name
        if self.first is not None and _link(self.first, target):
            self.linked += 1
            return
        shutil.copyfile(self.source, target)
        self.first, self.copied = target, self.copied + 1


def write_repository(
    bundle: Bundle[Manifest], out: Path, policy: Policy, options: PackageOptions | None = None
) -> Repository:
    """Write ``bundle`` as a repository at ``out``.

    Raises:
        BundleError: the bundle is incomplete, or lacks the precision.
        UsageError: ``out`` exists, an option is out of range, or Triton cannot serve the network or the policy.
        MissingError: the disk is full.
    """
    options = options or PackageOptions()
    options.check()
    serving: ServingSpec = EXPORTERS.get(bundle.manifest.family).serving(bundle.manifest)
    served = served_policy(policy)
    parts = family_of(bundle.manifest).parts_needed(bundle.manifest, PolicyChoice(), policy)
    graphs = graph_files(bundle, options.precision, EngineOptions(options.precision, parts=parts))
    if options.force:
        _check_replaceable(out)
    with whole_folder(out, replace=options.force) as folder:
        weights = _Weights(bundle.weights_file(options.precision))
        configs = list(_write_parts(bundle, serving, graphs, weights, folder, options))
        configs.append(_write_network(bundle, serving, served, parts, folder, options))
        names = tuple(config.name for config in configs)
        written = Repository(out, names[-1], names, served, weights.linked, weights.copied)
        _write_record(bundle, serving, written, configs[-1], folder, options)
    return written


def _write_parts(
    bundle: Bundle[Manifest],
    serving: ServingSpec,
    graphs: dict[str, Path],
    weights: _Weights,
    folder: Path,
    options: PackageOptions,
) -> Iterator[ModelConfig]:
    name = model_name(bundle)
    for part, graph in graphs.items():
        version = _version_folder(folder, part_model(name, part))
        shutil.copyfile(graph, version / "model.onnx")
        weights.add_to(graph, version)
        config = part_config(name, part, bundle.manifest, serving, options.slots, options.device)
        yield _write_config(config, folder)


def _write_network(
    bundle: Bundle[Manifest],
    serving: ServingSpec,
    policy: dict[str, Any],
    parts: frozenset[str],
    folder: Path,
    options: PackageOptions,
) -> ModelConfig:
    name, manifest = model_name(bundle), bundle.manifest
    version = _version_folder(folder, name)
    (version / "model.py").write_text(model_source(serving.template), encoding="utf-8")
    _write_json(version / "policy.json", network_settings(name, manifest, serving, policy, parts, options.slots))
    return _write_config(network_config(name, manifest, serving, options.slots), folder)


def _write_record(
    bundle: Bundle[Manifest],
    serving: ServingSpec,
    written: Repository,
    config: ModelConfig,
    folder: Path,
    options: PackageOptions,
) -> None:
    content = {
        "format": "triton",
        "model": written.name,
        "models": written.models,
        "bundle": {"name": bundle.name, "sha256": bundle.digest, "network": bundle.manifest.network},
        "precision": options.precision,
        "slots": options.slots,
        "device": options.device,
        "policy": written.policy,
        "shared_weights": {"files_linked": written.linked, "files_copied": written.copied},
        "versions": {"vbench": __version__, "bundle": bundle.manifest.versions},
    }
    _write_json(folder / RECORD, content)
    text = readme(bundle, serving, written.policy, config, options.precision)
    (folder / "README.md").write_text(text, encoding="utf-8")


def _version_folder(folder: Path, model: str) -> Path:
    version = folder / model / _VERSION
    version.mkdir(parents=True)
    return version


def _write_config(config: ModelConfig, folder: Path) -> ModelConfig:
    (folder / config.name / "config.pbtxt").write_text(config.text(), encoding="ascii")
    return config


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _link(source: Path, target: Path) -> bool:
    try:
        os.link(source, target)
    except OSError:
        return False
    return True


def _check_replaceable(out: Path) -> None:
    """Raise UsageError if ``out`` exists but was not written by vbench, as a mistyped path may contain other data."""
    if out.exists() and not (out / RECORD).is_file():
        raise UsageError(f"{out} is not a repository written by vbench", "choose another name with -o")
