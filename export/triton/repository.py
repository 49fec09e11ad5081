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
from typing import Any

from ... import __version__
from ...errors import UsageError
from ...files import whole_folder
from ...runtime.bundle.bundle import MANIFEST, Bundle
from ...runtime.bundle.manifest import Manifest, Target
from ...runtime.engines.base import EngineOptions
from ...runtime.engines.graph_check import graph_files
from ...runtime.families import family_of
from ...runtime.policies.base import Policy
from ...runtime.policies.choice import PolicyChoice
from ...runtime.policies.registry import check_servable
from ..family import EXPORTERS, ServingSpec
from .archive import ARCHIVE, MODEL, model_source, write_archive
from .config import ModelConfig
from .model_configs import model_name, network_config, network_settings, part_config, part_model
from .options import PackageOptions as PackageOptions
from .readme import readme
from .served.settings import SETTINGS

RECORD = "vbench.json"
_VERSION = "1"
_FORMS: dict[str, Target] = {"gpu": "gpu", "cpu": "ort_cpu"}  # of the graphs, by device; others run anywhere


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
class _SharedFile:
    """A file that several folders need, which is copied once and then hard-linked where the file system allows it."""

    source: Path
    first: Path | None = None
    linked: int = 0
    copied: int = 0

    def add_to(self, folder: Path) -> None:
        """Place the file in ``folder``."""
        target = folder / self.source.name
        if self.first is not None and _link(self.first, target):
            self.linked += 1
            return
        shutil.copyfile(self.source, target)
        self.first, self.copied = target, self.copied + 1


@dataclass(frozen=True)
class _Job:
    """Inputs of one repository, and the folder that it is written to."""

    bundle: Bundle[Manifest]
    serving: ServingSpec
    policy: Policy
    graphs: dict[str, Path]
    options: PackageOptions
    folder: Path

    @property
    def name(self) -> str:
        """Name of the model that clients call."""
        return model_name(self.bundle)


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
    check_servable(policy)
    serving = EXPORTERS.get(bundle.manifest.family).serving(bundle.manifest, policy)
    parts = family_of(bundle.manifest).parts_needed(bundle.manifest, PolicyChoice(), policy)
    graphs = graph_files(
        bundle,
        options.precision,
        EngineOptions(options.precision, parts=parts),
        _FORMS.get(options.device),
    )
    if options.force:
        _check_replaceable(out)
    with whole_folder(out, replace=options.force) as folder:
        job = _Job(bundle, serving, policy, graphs, options, folder)
        network = _write_network(job)
        weights = bundle.weights_file(options.precision)
        shared = None if weights is None else _SharedFile(weights)
        names = (*_write_parts(job, shared), network.name)
        linked, copied = (0, 0) if shared is None else (shared.linked, shared.copied)
        written = Repository(out, job.name, names, policy.record(), linked, copied)
        _write_record(job, written, network)
    return written


def _write_network(job: _Job) -> ModelConfig:
    options = job.options
    version = _version_folder(job.folder, job.name)
    write_archive(version / ARCHIVE)
    (version / MODEL).write_text(model_source("model"), encoding="utf-8")
    shutil.copyfile(job.bundle.path / MANIFEST, version / MANIFEST)
    settings = network_settings(job.name, job.serving, job.policy, job.graphs, options.slots, options.schedule)
    (version / SETTINGS).write_text(settings.text(), encoding="utf-8")
    config = network_config(job.name, job.bundle.manifest, job.serving, options.slots, options.schedule)
    return _write_config(config, job.folder)


def _write_parts(job: _Job, weights: _SharedFile | None) -> Iterator[str]:
    """Write the models of the parts, and yield their names."""
    options, manifest = job.options, job.bundle.manifest
    archive = job.folder / job.name / _VERSION / ARCHIVE
    code = _SharedFile(archive, first=archive)
    for part, graph in job.graphs.items():
        version = _version_folder(job.folder, part_model(job.name, part))
        shutil.copyfile(graph, version / "model.onnx")
        if weights is not None and weights.source.name.encode() in graph.read_bytes():  # the graph refers to it
            weights.add_to(version)
        if options.parts == "python":
            (version / MODEL).write_text(model_source("part_runner"), encoding="utf-8")
            code.add_to(version)
        config = part_config(job.name, part, manifest, job.serving, options.slots, options.device, options.parts)
        yield _write_config(config, job.folder).name


def _write_record(job: _Job, written: Repository, config: ModelConfig) -> None:
    bundle, options = job.bundle, job.options
    content = {
        "format": "triton",
        "model": written.name,
        "models": written.models,
        "bundle": {"name": bundle.name, "sha256": bundle.digest, "network": bundle.manifest.network},
        "precision": options.precision,
        "slots": options.slots,
        "device": options.device,
        "schedule": options.schedule,
        "parts": options.parts,
        "policy": written.policy,
        "shared_weights": {"files_linked": written.linked, "files_copied": written.copied},
        "versions": {"vbench": __version__, "bundle": bundle.manifest.versions},
    }
    _write_json(job.folder / RECORD, content)
    text = readme(bundle, job.serving, written.policy, config, options)
    (job.folder / "README.md").write_text(text, encoding="utf-8")


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
