"""``vbench package``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ..errors import UsageError
from .common.numbers import frame_counts, thresholds
from .common.output import note, print_json

if TYPE_CHECKING:
    from ..export.triton.config import Device
    from ..export.triton.repository import Repository

_FORMATS = ("triton",)


def package(
    bundle: Annotated[Path, typer.Argument(help="Bundle to package.", show_default=False)],
    kind: Annotated[
        str, typer.Option("--format", help="triton: a model repository of Triton Inference Server.")
    ] = "triton",
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder to make.", show_default="triton/<bundle's name>")
    ] = None,
    precision: Annotated[str, typer.Option(help="Which of the bundle's precisions to serve.")] = "fp32",
    slots: Annotated[int, typer.Option(min=1, help="Most clips that are run together.")] = 32,
    device: Annotated[
        str, typer.Option(help="Where the parts run: auto (a GPU if there is one), gpu or cpu.")
    ] = "auto",
    policy: Annotated[
        Path | None, typer.Option(help="File of the exit policy, as vbench tune writes it.", show_default="none")
    ] = None,
    first_threshold: Annotated[
        float | None,
        typer.Option(help="FrameExit: confidence that ends a clip at step 1.", show_default="the bundle's"),
    ] = None,
    gate_threshold: Annotated[
        str | None,
        typer.Option(
            help="FrameExit: gate value that ends a later step, one for all or one each.", show_default="the bundle's"
        ),
    ] = None,
    frames: Annotated[
        str | None,
        typer.Option(help="Frame-flexible: the frame count to run at, or a cascade's.", show_default="the largest"),
    ] = None,
    cascade: Annotated[
        float | None,
        typer.Option(
            help="Frame-flexible: go through the counts until the confidence is above this.", show_default="none"
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a repository that is there already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Make a bundle into what a server loads: its parts, and a model that runs the early exit on them.

    Thresholds and frame counts are what holds where a request brings none of its own.

    Example: vbench package bundles/frameexit_r50 --format triton

    At a tuned operating point: vbench package bundles/frameexit_r50 --policy policy.json -o models
    """
    from ..export.triton.repository import PackageOptions, write_repository
    from ..runtime.bundle.bundle import open_bundle
    from ..runtime.families import family_of
    from ..runtime.policies.choice import PolicyChoice
    from ..runtime.policies.registry import read_policy

    if kind not in _FORMATS:
        raise UsageError(f"no format {kind!r}", f"known is {', '.join(_FORMATS)}")
    choice = PolicyChoice(
        first_threshold=first_threshold,
        gate_thresholds=None if gate_threshold is None else thresholds(gate_threshold),
        frames=None if frames is None else frame_counts(frames),
        cascade=cascade,
        policy=None if policy is None else read_policy(policy),
    )
    opened = open_bundle(bundle)
    chosen = family_of(opened.manifest).resolve(opened.manifest, choice).policy
    options = PackageOptions(precision, slots, cast("Device", device), force)  # the device is checked where they are
    made = write_repository(opened, out or Path("triton", opened.name), chosen, options)
    if made.linked:
        note(
            f"{made.linked + made.copied} models share one file of weights through hard links; a copy has it each time"
        )
    print_json(_document(made)) if as_json else print(_line(made))


def _document(made: Repository) -> dict[str, object]:
    return {
        "repository": str(made.path),
        "model": made.name,
        "models": list(made.models),
        "policy": made.policy,
        "shared_weights": {"files_linked": made.linked, "files_copied": made.copied},
    }


def _line(made: Repository) -> str:
    return (
        f"{made.path}: {len(made.models)} models, ask {made.name}; {made.path / 'README.md'} says how to start a server"
    )
