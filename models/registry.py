"""Registries of network recognizers and of FrameExit backbones.

An installed package adds a network through an entry point in the group ``vbench.networks`` that refers to its
recognizer, and a backbone through an entry point in ``vbench.backbones``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..registry import Registry

if TYPE_CHECKING:
    from .checkpoint.recognizer import Recognizer
    from .frameexit.backbone import BackboneRecognizer

NETWORKS: Registry[Recognizer] = Registry(
    "network",
    {
        "frameexit": ".frameexit.recognize:RECOGNIZER",
        "tsm": ".ffn.tsm:RECOGNIZER",
        "tea": ".ffn.tea:RECOGNIZER",
        "slowfast": ".ffn.slowfast:RECOGNIZER",
        "uniformer": ".ffn.uniformer:RECOGNIZER",
        "x3d": ".x3d.network:RECOGNIZER",
    },
    group="vbench.networks",
    package=__package__ or "",
)

BACKBONES: Registry[BackboneRecognizer] = Registry(
    "FrameExit backbone",
    {
        "resnet": ".frameexit.resnet:BACKBONE",
        "efficientnet": ".frameexit.efficientnet:BACKBONE",
        "x3d": ".frameexit.x3d:BACKBONE",
    },
    group="vbench.backbones",
    package=__package__ or "",
)
