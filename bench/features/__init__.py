"""Features of a run: the state after every step of every video, recorded once so that gates can be fitted to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...lazy import lazy_exports

if TYPE_CHECKING:
    from .features_file import Features as Features
    from .features_file import FeaturesHeader as FeaturesHeader
    from .features_file import read_features as read_features
    from .recorder import FeatureRecorder as FeatureRecorder

__getattr__ = lazy_exports(
    __name__,
    features_file=("Features", "FeaturesHeader", "read_features"),
    recorder=("FeatureRecorder",),
)
