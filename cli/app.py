"""The ``vbench`` command: global options, subcommands and exit codes.

Subcommands import their dependencies when they run, so ``vbench --help`` is fast and works without torch, ONNX Runtime
or matplotlib. A user error ends with a one-line message and an exit code, never with a traceback.
"""

from __future__ import annotations

import warnings
from typing import Annotated

import typer

from .. import __version__
from ..errors import VbenchError
from . import (
    audit,
    bench,
    build,
    compare,
    data,
    doctor,
    explain,
    export,
    fit_gates,
    inspect,
    migrate,
    package,
    report,
    run,
    sweep,
    trust,
    tune,
)
from .common.options import Command
from .common.streams import lost_output, report_error
from .demo import demo
from .main import INTERRUPTED
from .plot import plot

app = typer.Typer(
    name="vbench",
    help="Export, run and measure dynamic video-recognition networks.",
    epilog="Start with: vbench demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for function in (
    export.export,
    build.build,
    trust.trust,
    fit_gates.fit_gates,
    run.run,
    bench.bench,
    sweep.sweep,
    tune.tune,
    compare.compare,
    report.report,
    explain.explain,
    audit.audit,
    inspect.inspect,
    package.package,
    migrate.migrate,
    demo.demo,
    doctor.doctor,
):
    app.command(function.__name__.replace("_", "-"), cls=Command)(function)
app.add_typer(data.app, name="data")
app.add_typer(plot.app, name="plot")


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"vbench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    del version
    # Pillow's warning about large images, which vbench reports as an error in the video
    warnings.filterwarnings("ignore", message=r"Image size \(.* pixels\) exceeds limit")
    # Matplotlib's warning about characters in names and classes that its font lacks; it draws a box for each
    warnings.filterwarnings("ignore", message=r"Glyph .* missing from ")


def run_app() -> int:
    """Run the command line and return its exit code.

    Raises:
        KeyboardInterrupt: the user pressed Ctrl-C.
    """
    try:
        code = app(standalone_mode=False, prog_name="vbench")
        if code == INTERRUPTED:  # some versions of typer convert Ctrl-C to this code
            raise KeyboardInterrupt
    except VbenchError as error:
        return report_error(str(error), error.exit_code)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except (OSError, SystemExit):  # typer exits if the reader of a pipe has closed it
        lost = lost_output()
        if lost is None:
            raise
        return lost
    except Exception as error:
        # Usage errors share no public base class across typer versions, but all have this method.
        if not hasattr(error, "format_message"):
            raise
        return report_error(f"{error.format_message() or 'no command given'} (see --help)", VbenchError.exit_code)
    return code if isinstance(code, int) else 0
