"""Options that several commands take, with their help: one wording for one thing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[Path | None, typer.Option(help="Folder of the data set.", show_default="$VBENCH_DATA/<data set>")]
FirstThreshold = Annotated[
    float | None, typer.Option(help="Confidence above which step 1 exits.", show_default="the data set's")
]
GateThreshold = Annotated[
    str | None,
    typer.Option(
        help="Gate value above which a later step exits; one, or one each joined by commas.", show_default="0.5"
    ),
]
Policy = Annotated[
    Path | None, typer.Option(help="File of the exit policy, as vbench tune writes it.", show_default="none")
]
Precision = Annotated[
    str, typer.Option(help="Which of the bundle's precisions to run; tf32: fp32 as NVIDIA GPUs round it.")
]
Device = Annotated[
    str | None,
    typer.Option(help="cpu, cuda, or cuda:1 for the second GPU.", show_default="cpu; cuda for trt"),
]
Provider = Annotated[str, typer.Option(help="For ort on a GPU: cuda, or tensorrt.")]
Graphs = Annotated[
    bool | None,
    typer.Option("--graphs/--no-graphs", help="On a GPU: use CUDA graphs.", show_default="graphs for trt"),
]
Threads = Annotated[int, typer.Option(min=0, help="Threads of the engine; 0 for all cores.")]
Checkpoint = Annotated[Path | None, typer.Option(help="For --engine torch: the checkpoint, if it has been moved.")]
