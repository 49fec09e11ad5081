"""What a run needs before it can begin: the network on its engine, and the data set in its numbering of the classes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import DatasetError, UsageError
from ...runtime.bundle.bundle import open_bundle
from ...runtime.bundle.manifest import FrameExitManifest
from ...runtime.load import load
from ...runtime.networks.base import Network
from ...runtime.networks.flexible import FlexibleNetwork
from ...runtime.networks.frameexit import FrameExitNetwork
from ...runtime.policies.base import FrameExitPolicy, Policy
from ...runtime.policies.registry import policy_of
from ...runtime.policies.rules import Everything
from ..datasets import Dataset, load_dataset
from ..records.run_folder import RunConfig


@dataclass(frozen=True)
class Prepared:
    """All that a run needs: the network on its engine, and the data set in its numbering of the classes."""

    config: RunConfig
    network: Network
    dataset: Dataset


def prepare(config: RunConfig) -> Prepared:
    """Load what ``config`` names; its open choices are filled in.

    Raises:
        VbenchError: the bundle, the engine or the data set cannot be used.
    """
    config.stream.check()
    if config.budget_ms is not None and config.frames is not None:
        raise UsageError("a budget chooses the frame count itself", "leave --frames out")
    _check_alone(config)
    manifest = open_bundle(Path(config.bundle)).manifest  # a wrong bundle is told before a large data set is read
    dataset = _dataset(config)
    ruled = config.trace or config.policy is not None
    if isinstance(manifest, FrameExitManifest) and config.first_threshold is None and not ruled:
        config = replace(config, first_threshold=dataset.first_threshold)
    network = _network(config)
    return Prepared(_chosen(config, network), network, fitted(dataset, network))


def _check_alone(config: RunConfig) -> None:
    """A trace runs everything, and a policy decides everything: no other choice goes with them."""
    if not config.trace and config.policy is None:
        return
    given, hint = ("--trace", "replay any policy with vbench sweep") if config.trace else ("--policy", "leave it out")
    others = {
        "--policy": config.policy if config.trace else None,
        "--first-threshold": config.first_threshold,
        "--gate-threshold": config.gate_thresholds,
        "--frames": config.frames,
        "--cascade": config.cascade,
        "--budget-ms": config.budget_ms,
    }
    for name, value in others.items():
        if value is not None:
            raise UsageError(f"{given} takes no {name}", hint)


def _chosen(config: RunConfig, network: Network) -> RunConfig:
    """Return ``config`` with what the network's policy and schedule came to."""
    config = replace(config, stream=network.accepted(config.stream))
    if config.trace or config.policy is not None:
        return config
    if isinstance(network, FlexibleNetwork):
        return replace(config, frames=network.policy.counts)
    if isinstance(network, FrameExitNetwork) and isinstance(network.policy, FrameExitPolicy):
        return replace(config, gate_thresholds=network.policy.gate_thresholds)
    return config


def again(config: RunConfig) -> Prepared:
    """Load what the record of an interrupted run names."""
    network = _network(config)
    return Prepared(config, network, fitted(_dataset(config), network))


def fitted(dataset: Dataset, network: Network) -> Dataset:
    """Return the data set with its classes numbered as the network numbers them.

    Where the bundle knows its classes' names they decide; otherwise both must have equally many, in the same order.

    Raises:
        DatasetError: the classes do not fit the network's.
    """
    names = network.bundle.manifest.class_names
    if names is not None:
        return dataset.renumbered(names)
    known = len(dataset.class_names)
    if known != network.bundle.manifest.classes:
        raise DatasetError(
            f"{dataset.name} has {known} classes, {network.bundle.name} has {network.bundle.manifest.classes}",
            "use the class list the network was trained with, or export with --classes FILE",
        )
    return dataset


def _dataset(config: RunConfig) -> Dataset:
    return load_dataset(config.dataset, None if config.data is None else Path(config.data))


def _policy(config: RunConfig) -> Policy | None:
    if config.trace:
        return Everything()
    return None if config.policy is None else policy_of(config.policy, "--policy")


def _network(config: RunConfig) -> Network:
    return load(
        config.bundle,
        config.engine,
        first_threshold=config.first_threshold,
        gate_threshold=config.gate_thresholds,
        frames=config.frames,
        cascade=config.cascade,
        # a run that goes on keeps the count that its budget chose, whatever the machine is at now
        budget_ms=None if config.frames else config.budget_ms,
        policy=_policy(config),
        precision=config.precision,
        device=config.device,
        provider=config.provider,
        graphs=config.graphs,
        threads=config.threads,
        checkpoint=config.checkpoint,
        slots=config.stream.slots,
    )
