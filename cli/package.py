"""``vbench package``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ..errors import UsageError
from ..runtime.policies.choice import OPTION_FLAGS, PolicyChoice
from .common.options import Changed, OneOf, Options, takes
from .common.output import note, print_json, print_lines

if TYPE_CHECKING:
    from ..export.triton.config import Device
    from ..export.triton.options import Runner
    from ..export.triton.repository import Repository
    from ..export.triton.served.settings import Scheduling

_FORMATS = ("triton",)
_DEVICES = ("auto", "gpu", "cpu")
_SCHEDULES = ("inflight", "lockstep")
_PARTS = ("onnx", "python")
_BUDGET = "latencies would have to be measured on the server"


@takes(
    policy=Options(
        PolicyChoice,
        changed={
            "first_threshold": Changed(show_default="the bundle's"),
            "budget_ms": Changed(help=f"Not for Triton: {_BUDGET}."),
            "remeasure": Changed(help="Not for Triton; see --budget-ms."),
        },
    )
)
def package(
    bundle: Annotated[Path, typer.Argument(help="Bundle to package.", show_default=False)],
    *,
    kind: Annotated[
        str,
        typer.Option("--format", help="Output format: triton is a model repository for Triton Inference Server."),
        OneOf(lambda: _FORMATS, "format"),
    ] = "triton",
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder to create.", show_default="triton/<bundle's name>")
    ] = None,
    precision: Annotated[str, typer.Option(help="Precision of the bundle to serve.")] = "fp32",
    slots: Annotated[int, typer.Option(min=1, help="Maximum number of clips processed together.")] = 32,
    device: Annotated[
        str,
        typer.Option(help="Device for the parts; auto uses a GPU if available."),
        OneOf(lambda: _DEVICES, "device"),
    ] = "auto",
    schedule: Annotated[
        str,
        typer.Option(help="Start each clip as soon as a slot is free (inflight), or clips together (lockstep)."),
        OneOf(lambda: _SCHEDULES, "schedule"),
    ] = "inflight",
    parts: Annotated[
        str,
        typer.Option(help="Run the parts in the server's ONNX Runtime backend, or in its Python backend on the CPU."),
        OneOf(lambda: _PARTS, "parts"),
    ] = "onnx",
    policy: PolicyChoice,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing repository.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Package a bundle for an inference server: its parts, and a model that runs them with early exits.

    Thresholds and frame counts are defaults; a request may override them.

    Example: vbench package bundles/frameexit_r50 --format triton

    At a tuned operating point: vbench package bundles/frameexit_r50 --policy policy.json -o models
    """
    del kind  # already validated, and there is only one so far
    from ..export.triton.repository import PackageOptions, write_repository
    from ..runtime.bundle.bundle import open_bundle
    from ..runtime.families import family_of

    for flag in ("budget_ms", "remeasure"):
        if getattr(policy, flag) is not None:
            raise UsageError(
                f"{OPTION_FLAGS[flag]} does not apply to Triton: {_BUDGET}",
                "omit it; a frame-flexible network takes --frames or --cascade",
            )
    opened = open_bundle(bundle)
    chosen = family_of(opened.manifest).resolve(opened.manifest, policy).policy
    options = PackageOptions(  # which validates the texts
        precision,
        slots,
        cast("Device", device),
        cast("Scheduling", schedule),
        cast("Runner", parts),
        force,
    )
    made = write_repository(opened, out or Path("triton", opened.name), chosen, options)
    if made.linked:
        note(f"{made.linked + made.copied} models share one weights file by hard links; copies duplicate it")
    print_json(_document(made)) if as_json else print_lines((_line(made),))


def _document(made: Repository) -> dict[str, object]:
    return {
        "repository": str(made.path),
        "model": made.name,
        "models": list(made.models),
        "policy": made.policy,
        "shared_weights": {"files_linked": made.linked, "files_copied": made.copied},
    }


def _line(made: Repository) -> str:
    return f"{made.path}: {len(made.models)} models, call {made.name}; see {made.path / 'README.md'} to start a server"
