"""Load the network of a contender."""

from __future__ import annotations

from dataclasses import replace

from ...errors import UsageError
from ...runtime.bundle.bundle import Bundle
from ...runtime.bundle.manifest import Manifest
from ...runtime.engines.base import Engine
from ...runtime.load import load_network
from ...runtime.networks.base import Network
from ...runtime.policies.choice import PolicyChoice
from ..datasets.base import Dataset
from ..run.setup import dataset_defaults
from .contender import Contender


def load_contender(contender: Contender, bundle: Bundle[Manifest], dataset: Dataset) -> Network:
    """Load the network of a contender on its engine, with the policy defaults of its data set.

    Raises:
        VbenchError: see ``load_network``.
    """
    choice = PolicyChoice() if contender.frames is None else PolicyChoice(frames=(contender.frames,))
    engine = replace(contender.engine, slots=contender.stream.slots)
    network = load_network(bundle, engine, choice, dataset_defaults(dataset) if dataset.class_names else None)
    if contender.every_step:
        network = network.with_policy(network.family.all_steps(network.step_frames))
    if contender.procedure == "compiled":
        _compile(network.engine)
    return network


def _compile(engine: Engine) -> None:
    from ...runtime.engines.pytorch.engine import TorchEngine

    if not isinstance(engine, TorchEngine):
        raise UsageError(f"torch.compile does not apply to the {engine.name} engine", "choose --engine torch")
    engine.compile_parts()
