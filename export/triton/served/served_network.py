"""A bundle on the server: its runtime network for each policy, and the reading of requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ....errors import EngineError, VbenchError
from ....runtime.bundle.bundle import open_bundle
from ....runtime.families import family_of
from ....runtime.inputs.base import NamedClip
from ....runtime.networks.base import Network
from ....runtime.policies.base import Policy
from ....runtime.scheduler.options import StreamOptions
from ....runtime.scheduler.results import ClipResult, Prediction
from .clip_policies import ClipPolicies, ClipWithPolicy, stream_key
from .clip_request import ServedClip
from .engine import ServerEngine
from .messages import frames_of
from .one_line import one_line
from .parts import Parts
from .request_policy import RequestPolicies, parameters_of
from .settings import SETTINGS, read_settings

_SCHEDULES = {"inflight": "inflight", "lockstep": "compact"}


class RequestContent(NamedTuple):
    """Clips of a request, uint8 ``[clips, T, H, W, 3]``, and their policy."""

    clips: NDArray[np.uint8]
    policy: Policy


class ServedNetwork:
    """Manifest, settings and parts of a served bundle. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        """Read the manifest and the settings in ``folder``.

        Raises:
            BundleError, UsageError: a file is missing, or was written by another version of vbench.
        """
        self.bundle, self.settings = open_bundle(folder), read_settings(folder / SETTINGS)
        manifest, settings = self.bundle.manifest, self.settings
        self.family = family_of(manifest)
        self.steps = len(self.family.steps(manifest))
        self.options = StreamOptions(_SCHEDULES[settings.schedule], slots=settings.slots)
        self._policies = RequestPolicies(manifest, settings)

    def read(self, request: Any) -> RequestContent:
        """Return the contents of a request.

        Raises:
            UsageError: the frames or a parameter are not valid.
            EngineError: the request cannot be read.
        """
        try:
            return RequestContent(frames_of(request), self._policies.policy_for(parameters_of(request.parameters())))
        except VbenchError:
            raise
        except Exception as error:  # the backend raises exceptions of its own types
            raise EngineError(f"cannot read the request: {one_line(error)}", "send it again") from None

    def stream_key(self, policy: Policy) -> tuple[object, ...]:
        """Return a key that is equal for policies that may share a stream."""
        return stream_key(policy, self.family.route(self.bundle.manifest, policy))

    def parts(self) -> Parts:
        """Return the parts, with threads of their own: a call that hangs keeps its thread."""
        return Parts(self.bundle.manifest.parts, self.settings.models, self.settings.rows)

    def network(self, policy: Policy, clip_named: Callable[[str], ClipWithPolicy], parts: Parts) -> Network:
        """Return a network, with an engine of its own, for clips whose policies have the stream key of ``policy``."""
        policies = ClipPolicies(policy, clip_named)
        return Network(self.bundle, ServerEngine(parts), policies, parts=frozenset(self.settings.models))


def named(clip: ServedClip) -> NamedClip:
    """Return a served clip as the runtime takes it."""
    return NamedClip(clip.name, clip.frames)


def outcome(result: ClipResult) -> Prediction | VbenchError:
    """Return a clip's prediction or its error."""
    return result.error or result.unwrap()


def run_alone(network: Network, clips: Sequence[ServedClip]) -> None:
    """Run clips one at a time, after a part has failed for a batch of them, so that each fails by itself or not."""
    for clip in clips:
        clip.end(_outcome_alone(network, clip))


def _outcome_alone(network: Network, clip: ServedClip) -> Prediction | VbenchError:
    try:
        (result,) = network.stream([named(clip)], StreamOptions())
        return outcome(result)
    except VbenchError as error:
        return error
    except Exception as error:  # a bug; the other requests go on
        return EngineError(f"the clip failed with {type(error).__name__}: {one_line(error)}", "report it")
