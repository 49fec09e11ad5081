"""Set up a run: the network on its engine, and the data set with the network's class indices.

The bundle is opened, and its digests are verified, once. Invalid options are rejected before a large data set is read
or an engine is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import DatasetError, UsageError
from ...runtime.bundle.bundle import Bundle, open_bundle
from ...runtime.bundle.manifest import Manifest
from ...runtime.engine_choice.choose import EngineChoice, choose_engine
from ...runtime.engine_choice.replicas import ReplicaChoice, check_replicas, choose_replicas
from ...runtime.families import family_of
from ...runtime.load import load_network
from ...runtime.networks.base import Network
from ...runtime.policies.base import Policy
from ...runtime.policies.choice import PolicyChoice
from ...runtime.policies.first_threshold import DatasetDefaults
from ...runtime.policies.rules import RecordStates, RunAll
from ...startup import phase
from ..datasets import Dataset, load_dataset
from ..records.run_folder import RunConfig


@dataclass(frozen=True)
class RunSetup:
    """Inputs of a run; ``dataset`` uses the network's class indices, and ``config`` names its engine and precision.

    ``engine_choice`` is how the engine was chosen, and ``replica_choice`` the number of replicas; None if the options
    named it.
    """

    config: RunConfig
    network: Network
    dataset: Dataset
    engine_choice: EngineChoice | None = None
    replica_choice: ReplicaChoice | None = None

    @property
    def defaults(self) -> DatasetDefaults:
        """Defaults recommended by the data set."""
        return dataset_defaults(self.dataset)

    def with_choice(self, choice: PolicyChoice) -> RunSetup:
        """Return this setup with a different policy choice, on the same engine.

        Raises:
            UsageError: the choice does not apply to the network, or the parts it needs are not loaded.
        """
        network = self.network
        resolved = network.family.resolve(network.bundle.manifest, choice, self.defaults)
        return replace(
            self,
            config=replace(self.config, policy=choice),
            network=network.with_policy(resolved.policy, resolved.sources),
        )


def set_up(config: RunConfig, bundle: Bundle[Manifest] | None = None) -> RunSetup:
    """Load the network and the data set of ``config``.

    Args:
        bundle: the bundle of ``config``, if it is already open.

    Raises:
        VbenchError: the bundle, the engine or the data set cannot be used.
    """
    config.stream.check()
    bundle = bundle or open_bundle(Path(config.bundle))
    return _load(config, bundle, _choice(config))


def set_up_resumed(
    config: RunConfig, policy: Policy, policy_sources: Mapping[str, str], bundle: Bundle[Manifest]
) -> RunSetup:
    """Load an interrupted run with its original policy, regardless of current defaults.

    Raises:
        VbenchError: see `set_up`.
    """
    setup = _load(config, bundle, PolicyChoice(policy=policy))
    return replace(setup, network=setup.network.with_policy(policy, policy_sources))


def match_classes(dataset: Dataset, bundle: Bundle[Manifest]) -> Dataset:
    """Return the data set with the network's class indices.

    Class names in the bundle determine the mapping; without them, both must have the same number of classes, in the
    same order.

    Raises:
        DatasetError: the classes do not match the network's.
    """
    names = bundle.manifest.class_names
    if names is not None:
        return dataset.renumber_classes(names)
    known = len(dataset.class_names)
    if known != bundle.manifest.classes:
        raise DatasetError(
            f"{dataset.name} has {known} classes, but {bundle.name} has {bundle.manifest.classes}",
            "use the class list the network was trained with, or export with --classes FILE",
        )
    return dataset


def _choice(config: RunConfig) -> PolicyChoice:
    """Return the policy choice; neither a trace nor an explicit policy can be combined with any other policy option."""
    if config.features and not config.trace:
        raise UsageError("--features records all steps, like --trace", "add --trace")
    if config.split is not None and not config.features:
        raise UsageError("--split names the split of recorded features", "add --features, or omit --split")
    if config.trace:
        config.policy.require_only("--trace", hint="replay any policy with vbench sweep")
        return PolicyChoice(policy=RecordStates() if config.features else RunAll())
    if config.policy.policy is not None:
        config.policy.require_only("--policy", "policy")
    return config.policy


def _load(config: RunConfig, bundle: Bundle[Manifest], choice: PolicyChoice) -> RunSetup:
    family, manifest = family_of(bundle.manifest), bundle.manifest
    family.check_stream(manifest, config.stream)
    if config.features:
        family.recordable_state(manifest)
    family.resolve(manifest, choice)
    with phase("data set"):
        dataset = load_dataset(config.data.dataset, config.data.data)
    _require_output(dataset, bundle)
    check_replicas(config.engine, choice)
    options, chosen = choose_engine(
        bundle, replace(config.engine, slots=config.stream.slots), choice, dataset_defaults(dataset)
    )
    options, counted = choose_replicas(bundle, options, choice)
    if chosen is not None:
        options.say(chosen.text())
    if counted is not None:
        options.say(counted.text())
    network = load_network(bundle, options, choice, dataset_defaults(dataset))
    named = replace(config, engine=replace(options, slots=config.engine.slots))  # a resumed run must not choose again
    return RunSetup(named, network, match_classes(dataset, bundle), chosen, counted)


def dataset_defaults(dataset: Dataset) -> DatasetDefaults:
    """Return the policy defaults that a data set recommends."""
    return DatasetDefaults(dataset.name, dataset.first_threshold, dataset.output)


def _require_output(dataset: Dataset, bundle: Bundle[Manifest]) -> None:
    """Require the bundle to state its output explicitly if that is not the one that the data set needs.

    A softmax makes the tags of a video compete with one another, which changes the ranking of videos for each tag.
    """
    if dataset.output != bundle.manifest.output and bundle.manifest.probabilities is None:
        raise DatasetError(
            f"the probabilities of {bundle.name} come from a {bundle.manifest.output}, but {dataset.name} needs a "
            f"{dataset.output}",
            f"export it again with --probabilities {dataset.output}, or with --probabilities {bundle.manifest.output} "
            f"if the network was trained with a {bundle.manifest.output}",
        )
