"""Fit FrameExit's gates to recorded features, without touching the trunk or the classifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_exports

if TYPE_CHECKING:
    from .fit_gates import FitOptions as FitOptions
    from .fit_gates import FittedSet as FittedSet
    from .fit_gates import fit_checkpoint as fit_checkpoint

__getattr__ = lazy_exports(__name__, fit_gates=("FitOptions", "FittedSet", "fit_checkpoint"))
