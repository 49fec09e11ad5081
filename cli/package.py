"""``vbench package``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ..runtime.policies.choice import PolicyChoice
from .common.options import Changed, OneOf, Options, takes
from .common.output import note, print_json

if TYPE_CHECKING:
    from ..export.triton.config import Device
    from ..export.triton.repository import Repository

_FORMATS = ("triton",)
_DEVICES = ("auto", "gpu", "cpu")


@takes(
    policy=Options(
        PolicyChoice, without=("budget_ms",), changed={"first_threshold": Changed(show_default="the bundle's")}
    )
)
def package(
    bundle: Annotated[Path, typer.Argument(help="Bundle to package.", show_default=False)],
    *,
    kind: Annotated[
        str,
        typer.Option("--format", help="What to make: triton is a model repository of Triton Inference Server."),
        OneOf(lambda: _FORMATS, "format"),
    ] = "triton",
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder to make.", show_default="triton/<bundle's name>")
    ] = None,
    precision: Annotated[str, typer.Option(help="Which of the bundle's precisions to serve.")] = "fp32",
    slots: Annotated[int, typer.Option(min=1, help="Most clips that are run together.")] = 32,
    device: Annotated[
        str,
        typer.Option(help="Where the parts run; auto: on a GPU if there is one."),
        OneOf(lambda: _DEVICES, "device"),
    ] = "auto",
    policy: PolicyChoice,
    force: Annotated[bool, typer.Option("--force", help="Replace a repository that is there already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Make a bundle into what a server loads: its parts, and a model that runs the early exit on them.

    Thresholds and frame counts are what holds where a request brings none of its own.

    Example: vbench package bundles/frameexit_r50 --format triton

    At a tuned operating point: vbench package bundles/frameexit_r50 --policy policy.json -o models
    """
    del kind  # it is a legal one, and so far there is one only
    from ..export.triton.repository import PackageOptions, write_repository
    from ..runtime.bundle.bundle import open_bundle
    from ..runtime.families import family_of

    opened = open_bundle(bundle)
    chosen = family_of(opened.manifest).resolve(opened.manifest, policy).policy
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
