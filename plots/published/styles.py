"""Styles of published lines: colors and markers of FrameExit's figure, and separate colors for later methods.

The original figure distinguishes some lines by color alone (five use circles); here fill and line style differ too. The
styles are disjoint from those of runs, which use another palette and other markers.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Fill = Literal["full", "left", "right", "top", "bottom", "none"]
Stroke = str | tuple[int, tuple[float, ...]]


class SeriesStyle(NamedTuple):
    """Color, marker, marker fill and line style of a published series."""

    color: str
    marker: str
    fill: Fill = "full"
    stroke: Stroke = "-"


_LONG_DOTS: Stroke = (0, (6, 1.5, 1, 1.5, 1, 1.5))
_TEAL, _BROWN, _PURPLE, _OLIVE, _GRAY = "#2A7F7F", "#8C564B", "#6A3D9A", "#6B7A1E", "#808080"

SERIES_STYLES = {
    "FrameExit (ResNet-50)": SeriesStyle("#000000", "o"),
    "FrameExit (ResNet-50), released": SeriesStyle("#000000", "*"),
    "FrameExit (EfficientNet-B3)": SeriesStyle("#000000", "v"),
    "FrameExit (X3D-S)": SeriesStyle("#000000", "d", "none", "--"),
    "X3D-XS": SeriesStyle(_OLIVE, ">", "none", ":"),
    "X3D-S": SeriesStyle(_OLIVE, "h", "full", "-"),
    "X3D-M": SeriesStyle(_OLIVE, "*", "left", "--"),
    "X3D-L": SeriesStyle(_OLIVE, "d", "none", "-."),
    "AdaFrame": SeriesStyle("#F779DC", "d", "left", "--"),
    "AdaFrame-5": SeriesStyle("#F779DC", "d", "full", "--"),
    "MARL (R101)": SeriesStyle("#1289F8", "o", "full", "--"),
    "AR-Net (ResNet)": SeriesStyle("#DC465A", "o", "none", "-"),
    "AR-Net (EfficientNet)": SeriesStyle("#DC465A", "v", "none", "--"),
    "L2L (IA|IA), uses audio": SeriesStyle("#1EBE4C", "d"),
    "L2L (MNet|R101)": SeriesStyle("#1EBE4C", "o", "right", ":"),
    "LiteEval": SeriesStyle("#8A6E90", "o", "left", "-."),
    "SCSampler": SeriesStyle("#FFB378", "o", "top", _LONG_DOTS),
    "OCSampler": SeriesStyle(_OLIVE, "x"),
    "VideoIQ (bit-weighted)": SeriesStyle(_GRAY, "+", "full", "--"),
    "AdaFocusV2+, patch 96": SeriesStyle(_TEAL, ">", "none", "-."),
    "AdaFocusV2+, patch 128": SeriesStyle(_TEAL, "h", "none", "-."),
    "AdaFocusV2+, patch 160": SeriesStyle(_TEAL, "*", "none", "-."),
    "AdaFocusV3, patch 96": SeriesStyle(_BROWN, ">", "left", "--"),
    "AdaFocusV3, patch 128": SeriesStyle(_BROWN, "h", "left", "--"),
    "AdaFocusV3, patch 160": SeriesStyle(_BROWN, "*", "left", "--"),
    "Uni-AdaFocus, patch 96": SeriesStyle(_PURPLE, ">"),
    "Uni-AdaFocus, patch 128": SeriesStyle(_PURPLE, "h"),
    "Uni-AdaFocus, patch 160": SeriesStyle(_PURPLE, "*"),
    "Uni-AdaFocus, no early exit": SeriesStyle(_PURPLE, "d", "none", ":"),
    "AdaFuse": SeriesStyle(_BROWN, "1"),
    "Dynamic-STE": SeriesStyle(_BROWN, "2"),
    "AdaFocusV2 and V2+ (ResNet-50)": SeriesStyle(_TEAL, "h", "none"),
    "AdaFocusV2 and V2+ (MN2+R50)": SeriesStyle(_TEAL, ">", "none"),
    "AFNet": SeriesStyle(_OLIVE, "3"),
    "NSNet": SeriesStyle(_OLIVE, "4"),
    "TSQNet": SeriesStyle(_OLIVE, "8", "none"),
    "Uni-AdaFocus": SeriesStyle(_PURPLE, "d"),
    "Uniform-10": SeriesStyle("#1289F8", "o", "none"),
    "Random-10": SeriesStyle("#DC465A", "o", "left"),
    "3D-ResNet18 (GFLOPs starred)": SeriesStyle("#8A6E90", "h", "top"),
    "HATNet (GFLOPs starred)": SeriesStyle("#1EBE4C", "d", "none"),
}
