"""Export, run and measure dynamic video-recognition networks.

    import vbench
    net = vbench.load("bundles/frameexit_r50")
    result = net.predict("clip.mp4")

Importing the package imports nothing else: ``load`` and its classes are imported on first use. This keeps
``vbench --help`` fast and limits a deployment's dependencies to those it uses.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import VbenchError
    from .runtime.load import load
    from .runtime.networks.base import Network
    from .runtime.scheduler.results import Prediction

__version__ = "0.1.0"
__all__ = ["load", "Network", "Prediction", "VbenchError", "__version__"]

_HOME = {
    "load": ".runtime.load",
    "Network": ".runtime.networks.base",
    "Prediction": ".runtime.scheduler.results",
}


def __getattr__(name: str) -> Any:
    if name == "VbenchError":
        return import_module(".errors", __name__).VbenchError
    if name in _HOME:
        return getattr(import_module(_HOME[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
