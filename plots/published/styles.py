"""How published lines look: FrameExit's figure in its own colours and markers, what came later in colours of its own.

The figure tells some lines apart by colour alone (five are circles); here filling and stroke differ as well. No line
looks like one of the runs, whose palette and markers are others.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Fill = Literal["full", "left", "right", "top", "bottom", "none"]
Stroke = str | tuple[int, tuple[float, ...]]


class Look(NamedTuple):
    """Colour, marker, which part of it is filled, and the stroke of the line."""

    colour: str
    marker: str
    fill: Fill = "full"
    stroke: Stroke = "-"


_LONG_DOTS: Stroke = (0, (6, 1.5, 1, 1.5, 1, 1.5))
_TEAL, _BROWN, _PURPLE, _OLIVE, _GREY = "#2A7F7F", "#8C564B", "#6A3D9A", "#6B7A1E", "#808080"

LOOKS = {
    "FrameExit (ResNet-50)": Look("#000000", "o"),
    "FrameExit (ResNet-50), released": Look("#000000", "*"),
    "FrameExit (EfficientNet-B3)": Look("#000000", "v"),
    "AdaFrame-5": Look("#F779DC", "d", "full", "--"),
    "MARL (R101)": Look("#1289F8", "o", "full", "--"),
    "AR-Net (ResNet)": Look("#DC465A", "o", "none", "-"),
    "AR-Net (EfficientNet)": Look("#DC465A", "v", "none", "--"),
    "L2L (IA|IA), uses audio": Look("#1EBE4C", "d"),
    "L2L (MNet|R101)": Look("#1EBE4C", "o", "right", ":"),
    "LiteEval": Look("#8A6E90", "o", "left", "-."),
    "SCSampler": Look("#FFB378", "o", "top", _LONG_DOTS),
    "OCSampler": Look(_OLIVE, "x"),
    "VideoIQ (bit-weighted)": Look(_GREY, "+", "full", "--"),
    "AdaFocusV2+, patch 96": Look(_TEAL, ">", "none", "-."),
    "AdaFocusV2+, patch 128": Look(_TEAL, "h", "none", "-."),
    "AdaFocusV2+, patch 160": Look(_TEAL, "*", "none", "-."),
    "AdaFocusV3, patch 96": Look(_BROWN, ">", "left", "--"),
    "AdaFocusV3, patch 128": Look(_BROWN, "h", "left", "--"),
    "AdaFocusV3, patch 160": Look(_BROWN, "*", "left", "--"),
    "Uni-AdaFocus, patch 96": Look(_PURPLE, ">"),
    "Uni-AdaFocus, patch 128": Look(_PURPLE, "h"),
    "Uni-AdaFocus, patch 160": Look(_PURPLE, "*"),
    "Uni-AdaFocus, no early exit": Look(_PURPLE, "d", "none", ":"),
    "AdaFuse": Look(_BROWN, "1"),
    "Dynamic-STE": Look(_BROWN, "2"),
    "AdaFocusV2 and V2+ (ResNet-50)": Look(_TEAL, "h", "none"),
    "AdaFocusV2 and V2+ (MN2+R50)": Look(_TEAL, ">", "none"),
    "AFNet": Look(_OLIVE, "3"),
    "NSNet": Look(_OLIVE, "4"),
    "TSQNet": Look(_OLIVE, "8", "none"),
    "Uni-AdaFocus": Look(_PURPLE, "d"),
    "Uniform-10": Look("#1289F8", "o", "none"),
    "Random-10": Look("#DC465A", "o", "left"),
    "3D-ResNet18 (GFLOPs starred)": Look("#8A6E90", "h", "top"),
    "HATNet (GFLOPs starred)": Look("#1EBE4C", "d", "none"),
}
