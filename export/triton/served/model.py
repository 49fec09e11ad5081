"""The model that clients call: clips in, predictions out. ``model.py`` in the repository imports this class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from ....errors import VbenchError
from .inflight import InFlightServer
from .lockstep import LockstepServer
from .metrics import ClipMetrics
from .numpy_check import check_numpy
from .served_network import ServedNetwork

_Server = InFlightServer | LockstepServer
_SERVERS: dict[str, type[_Server]] = {"inflight": InFlightServer, "lockstep": LockstepServer}


class TritonPythonModel:
    """A network as a model of Triton's Python backend, which calls these methods from one thread."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the manifest and the settings beside ``model.py``.

        Raises:
            TritonModelException: the installed NumPy does not work with this server, or a file is not valid.
        """
        check_numpy()
        folder = Path(args["model_repository"], args["model_version"])
        try:
            self._network = ServedNetwork(folder)
        except VbenchError as error:
            raise pb_utils.TritonModelException(str(error)) from None
        self._metrics = ClipMetrics(args["model_name"], self._network.steps)
        self._server = _SERVERS[self._network.settings.schedule](self._network, self._metrics)

    def execute(self, requests: Sequence[Any]) -> list[Any] | None:
        """Answer requests; see `InFlightServer.execute` and `LockstepServer.execute`."""
        return self._server.execute(requests)

    def finalize(self) -> None:
        """End all threads."""
        self._server.close()
        self._metrics.close()
