"""The ``vbench`` command: global options, subcommands and exit codes.

Subcommands import their dependencies when they run, so ``vbench --help`` is fast and works without torch, ONNX Runtime
or matplotlib. A user error ends with a one-line message and an exit code, never with a traceback.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from .. import __version__
from ..errors import VbenchError
from . import (
    audit,
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
    tune,
)
from .common.options import Command
from .demo import demo
from .plot import plot

INTERRUPTED = 130

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
    fit_gates.fit_gates,
    run.run,
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


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        code = app(standalone_mode=False)
        if code == INTERRUPTED:  # some versions of typer convert Ctrl-C to this code
            raise KeyboardInterrupt
    except VbenchError as error:
        sys.exit(_report_error(str(error), error.exit_code))
    except (KeyboardInterrupt, typer.Abort):
        _exit_now(_report_error("interrupted", INTERRUPTED))
    except BrokenPipeError:
        sys.stderr.close()  # the reader of the output has closed the pipe
        sys.exit(0)
    except Exception as error:
        # Usage errors share no public base class across typer versions, but all have this method.
        if not hasattr(error, "format_message"):
            raise
        sys.exit(_report_error(f"{error.format_message() or 'no command given'} (see --help)", VbenchError.exit_code))
    sys.exit(code if isinstance(code, int) else 0)


def _exit_now(code: int) -> None:
    """Exit immediately: an orderly exit would wait for threads that are still reading videos."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _report_error(message: str, code: int) -> int:
    print(f"vbench: {' '.join(message.split())}", file=sys.stderr)
    return code
