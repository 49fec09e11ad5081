"""``vbench.load``: a bundle on an engine, with the policy that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import UsageError
from .bundle.bundle import Bundle, open_bundle
from .bundle.manifest import FlexibleManifest, FrameExitManifest, frames_part
from .engines.base import EngineOptions, load_engine
from .networks.flexible import FlexibleNetwork
from .networks.frameexit import FrameExitNetwork
from .policies.base import FrameExitPolicy, Policy, frameexit_policy
from .policies.cascade import Cascade
from .policies.registry import read_policy
from .policies.rules import Everything


def load(
    bundle: str | Path,
    engine: str = "ort",
    *,
    first_threshold: float | None = None,
    gate_threshold: float | Sequence[float] | None = None,
    frames: int | Sequence[int] | None = None,
    cascade: float | None = None,
    budget_ms: float | None = None,
    policy: Policy | str | Path | None = None,
    precision: str = "fp32",
    threads: int = 0,
    checkpoint: str | Path | None = None,
    slots: int | None = None,
    device: str | None = None,
    provider: str = "cuda",
    graphs: bool | None = None,
) -> FrameExitNetwork | FlexibleNetwork:
    """Load a bundle on an engine.

    Args:
        bundle: folder that ``vbench export`` made.
        engine: ``ort`` (ONNX Runtime), ``openvino``, ``trt`` (TensorRT on an NVIDIA GPU), or ``torch`` (the reference;
            needs the checkpoint).
        first_threshold: FrameExit: softmax confidence above which the first step exits; None: the bundle's default.
        gate_threshold: FrameExit: gate value above which a later step exits, one for all or one each; None: the
            bundle's default.
        frames: frame-flexible networks: the frame count to run at, or those of a cascade; None: the largest one, or
            all of them in a cascade. Where it is given, nothing else is loaded.
        cascade: frame-flexible networks: run at the smallest count first, and at the next one as long as the softmax
            confidence is not above this.
        budget_ms: frame-flexible networks: run at the largest count that answers within so many milliseconds here.
        policy: the rule that ends a clip, or the file of one; takes the place of all choices above.
        precision: which of the bundle's precisions to run; ``tf32`` is ``fp32`` as NVIDIA GPUs round it.
        threads: threads of the engine; 0 for all cores.
        checkpoint: for the torch engine, where the source checkpoint is now.
        slots: where TensorRT builds, the most clips in a batch; None: 32 of FrameExit, 8 of frame-flexible networks.
        device: ``cpu``, ``cuda``, or ``cuda:1`` for the second GPU; None: the first GPU for trt, else the CPU.
        provider: for ort on a GPU: ``cuda``, or ``tensorrt``.
        graphs: on a GPU: whether to use CUDA graphs; None: with trt only.

    Raises:
        BundleError, MissingError, UsageError: see ``open_bundle`` and ``load_engine``.
    """
    opened = open_bundle(Path(bundle))
    options = EngineOptions(
        precision,
        threads,
        None if checkpoint is None else Path(checkpoint),
        slots=slots,
        device=device,
        provider=provider,
        graphs=graphs,
    )
    given = read_policy(Path(policy)) if isinstance(policy, str | Path) else policy
    manifest = opened.manifest
    chosen = chosen_policy(
        manifest,
        first_threshold=first_threshold,
        gate_threshold=gate_threshold,
        frames=frames,
        cascade=cascade,
        budget_ms=budget_ms,
        policy=given,
    )
    if isinstance(manifest, FrameExitManifest):
        frameexit = Bundle(opened.path, manifest)
        return FrameExitNetwork(frameexit, load_engine(engine, frameexit, options), chosen)
    assert isinstance(chosen, Cascade)
    loaded = manifest.frame_counts if frames is None and given is None else chosen.counts
    options = replace(options, parts=frozenset(["preprocess", *map(frames_part, loaded)]))
    flexible = Bundle(opened.path, manifest)
    found = FlexibleNetwork(flexible, load_engine(engine, flexible, options), chosen, loaded)
    return found if budget_ms is None else found.with_policy(Cascade((found.within(budget_ms),)))


def chosen_policy(
    manifest: FrameExitManifest | FlexibleManifest,
    *,
    first_threshold: float | None = None,
    gate_threshold: float | Sequence[float] | None = None,
    frames: int | Sequence[int] | None = None,
    cascade: float | None = None,
    budget_ms: float | None = None,
    policy: Policy | None = None,
) -> Policy:
    """Return the policy that the choices of `load` stand for, a `Cascade` for a frame-flexible network.

    Raises:
        UsageError: they do not fit one another or the network.
    """
    if policy is not None:
        _require_none(
            "a policy",
            first_threshold=first_threshold,
            gate_threshold=gate_threshold,
            frames=frames,
            cascade=cascade,
            budget_ms=budget_ms,
        )
    if isinstance(manifest, FrameExitManifest):
        _require_none(manifest.network, frames=frames, cascade=cascade, budget_ms=budget_ms)
        chosen = policy or _thresholds(manifest, first_threshold, gate_threshold)
        _check_frameexit(manifest, chosen)
        return chosen
    _require_none(manifest.network, first_threshold=first_threshold, gate_threshold=gate_threshold)
    return _cascade(manifest, frames, cascade, budget_ms) if policy is None else _given_cascade(manifest, policy)


def _require_none(network: str, **options: object) -> None:
    for name, value in options.items():
        if value is not None:
            raise UsageError(f"{network} takes no --{name.replace('_', '-')} ({name}=)", "leave it out")


def _thresholds(
    manifest: FrameExitManifest, first: float | None, gates: float | Sequence[float] | None
) -> FrameExitPolicy:
    defaults = manifest.policy
    return frameexit_policy(
        defaults.first_threshold if first is None else first, defaults.gate_threshold if gates is None else gates
    )


def _check_frameexit(manifest: FrameExitManifest, policy: Policy) -> None:
    if isinstance(policy, Cascade):
        raise UsageError(f"{manifest.network} has no frame counts to choose from", "give a policy for its exits")
    policy.check_steps(manifest.frames)


def _given_cascade(manifest: FlexibleManifest, policy: Policy) -> Cascade:
    if isinstance(policy, Everything):  # no softmax is above one: every count runs
        return Cascade(manifest.frame_counts, 1.0)
    if not isinstance(policy, Cascade):
        kind = policy.record()["kind"]
        raise UsageError(
            f"{manifest.network} obeys frame counts and cascades, not {kind}", "give a policy tuned for it"
        )
    policy.check_counts(manifest.frame_counts)
    return policy


def _cascade(
    manifest: FlexibleManifest, frames: int | Sequence[int] | None, threshold: float | None, budget_ms: float | None
) -> Cascade:
    if budget_ms is not None and (frames is not None or threshold is not None):
        raise UsageError("a budget chooses the frame count itself", "leave frames and cascade out")
    if frames is None:
        counts = manifest.frame_counts if threshold is not None else manifest.frame_counts[-1:]
    else:
        counts = (frames,) if isinstance(frames, int) else tuple(frames)
    if threshold is None and len(counts) > 1:
        raise UsageError(f"frame counts {list(counts)} without a rule to choose", "give one, or a cascade's confidence")
    policy = Cascade(counts) if threshold is None else Cascade(counts, threshold)
    policy.check_counts(manifest.frame_counts)
    return policy
