"""``vbench.load``: load a bundle on an engine, with an exit policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeVar

from .bundle.bundle import Bundle, open_bundle
from .bundle.manifest import Manifest
from .engine_choice.choose import choose_engine
from .engine_choice.replicas import check_replicas, choose_replicas, load_replicas
from .engines.base import EngineOptions
from .engines.options import AUTO, AUTO_REPLICAS, checked_replicas
from .families import family_of
from .networks.base import Network
from .policies.base import Policy
from .policies.choice import PolicyChoice
from .policies.first_threshold import DatasetDefaults
from .policies.registry import read_policy

T = TypeVar("T", int, float)


def load(
    bundle: str | Path,
    engine: str = AUTO,
    *,
    first_threshold: float | None = None,
    gate_threshold: float | Sequence[float] | None = None,
    gates: str | None = None,
    frames: int | Sequence[int] | None = None,
    cascade: float | None = None,
    budget_ms: float | None = None,
    remeasure: bool = False,
    policy: Policy | str | Path | None = None,
    precision: str = "fp32",
    max_flips: float | None = None,
    threads: int = 0,
    replicas: int | Literal["auto"] = 1,
    checkpoint: str | Path | None = None,
    slots: int | None = None,
    device: str | None = None,
    provider: str = "cuda",
    graphs: bool | None = None,
) -> Network:
    """Load a bundle on an engine.

    Args:
        bundle: folder written by ``vbench export``.
        engine: ``auto`` (the faster of ``ort`` and ``openvino``, measured once on this machine), ``ort`` (ONNX
            Runtime), ``openvino``, ``trt`` (TensorRT on an NVIDIA GPU), ``torch`` (the reference; needs the
            checkpoint), or an engine added by an installed package.
        first_threshold: FrameExit: softmax confidence above which the first step exits; None: the value for the data
            set that the bundle was exported for, else 0.95.
        gate_threshold: FrameExit: gate value above which a later step exits: one for all gates, or one per gate; None:
            the bundle's default.
        gates: FrameExit with several gate sets: name of the set, such as ``beta_1e-03``; None: the bundle's default
            set. Only the gates of this set are loaded.
        frames: frame-flexible networks: the frame count to run at, or the counts of a cascade; None: the largest
            count, or all counts for a cascade. If given, only these parts are loaded.
        cascade: frame-flexible networks: run at the smallest count first, then at ever larger ones until the softmax
            confidence exceeds this value.
        budget_ms: frame-flexible networks: run at the largest count whose latency on this machine is within this
            budget, in milliseconds.
        remeasure: with ``budget_ms``: measure latencies even if they are already known.
        policy: the exit policy, or the path of a policy file; replaces all policy options above.
        precision: which of the bundle's precisions to run; ``tf32`` is ``fp32`` with the reduced-precision rounding of
            NVIDIA GPUs; ``auto`` is the fastest of fp32 and the lower ones that ``vbench audit`` has found to change
            few enough answers.
        max_flips: with ``precision="auto"``: percentage of audited videos that may change; None: 1.
        threads: number of engine threads; 0 for all CPUs that the process may use.
        replicas: number of engines that ``stream`` uses at once, each with a share of the threads; ``auto``: as many as
            are fastest, measured once on this machine.
        checkpoint: current path of the original checkpoint, for the torch engine.
        slots: largest batch, in clips, that TensorRT engines are built for; None: 32 for FrameExit, 8 for
            frame-flexible networks.
        device: ``cpu``, ``cuda``, or ``cuda:1`` for the second GPU; None: the first GPU for trt, else the CPU.
        provider: for ort on a GPU: ``cuda`` or ``tensorrt``.
        graphs: whether to use CUDA graphs on a GPU; None: with trt only.

    Raises:
        BundleError, MissingError, UsageError: see ``open_bundle`` and ``load_engine``.
    """
    options = EngineOptions(
        precision,
        threads,
        None if checkpoint is None else Path(checkpoint),
        engine=engine,
        replicas=AUTO_REPLICAS if replicas == AUTO else checked_replicas(replicas),
        device=device,
        provider=provider,
        graphs=graphs,
        max_flips=max_flips,
        slots=slots,
    )
    choice = PolicyChoice(
        first_threshold=first_threshold,
        gate_thresholds=_tuple(gate_threshold),
        gates=gates,
        frames=_tuple(frames),
        cascade=cascade,
        budget_ms=budget_ms,
        remeasure=remeasure or None,
        policy=read_policy(Path(policy)) if isinstance(policy, str | Path) else policy,
    )
    check_replicas(options, choice)
    opened = open_bundle(Path(bundle))
    named, _ = choose_engine(opened, options, choice)
    counted, _ = choose_replicas(opened, named, choice)
    return load_network(opened, counted, choice)


def load_network(
    bundle: Bundle[Manifest],
    options: EngineOptions,
    choice: PolicyChoice,
    dataset: DatasetDefaults | None = None,
) -> Network:
    """Load an open bundle on the engine named in ``options``; ``dataset`` is the data set that the network will run on.

    Raises:
        BundleError, MissingError, UsageError: see ``load_engine``; also raised if ``choice`` does not apply to the
            network.
    """
    family, manifest = family_of(bundle.manifest), bundle.manifest
    resolved = family.resolve(manifest, choice, dataset)
    parts = family.parts_needed(manifest, choice, resolved.policy)
    engine, *replicas = load_replicas(bundle, replace(options, parts=parts))
    network = Network(bundle, engine, resolved.policy, policy_sources=resolved.sources, parts=parts, replicas=replicas)
    if choice.budget_ms is None:
        return network
    found = family.within_budget(network, choice.budget_ms, remeasure=bool(choice.remeasure))
    return network.with_policy(found.policy, {**resolved.sources, **found.sources})


def _tuple(value: T | Sequence[T] | None) -> tuple[T, ...] | None:
    if value is None:
        return None
    return tuple(value) if isinstance(value, Sequence) else (value,)
