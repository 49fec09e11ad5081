"""The ``vbench`` command: its options, its subcommands, and how it ends.

Subcommands import what they need when they run, so that ``vbench --help`` is quick and works where torch, ONNX
Runtime or matplotlib are not installed. A user's mistake ends with one line and a code, never with a traceback.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from .. import __version__
from ..errors import VbenchError
from . import audit, build, compare, data, doctor, explain, export, inspect, migrate, package, report, run, sweep, tune
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
    app.command(function.__name__, cls=Command)(function)
app.add_typer(data.app, name="data")
app.add_typer(plot.app, name="plot")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vbench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    del version


def main() -> None:
    """Run the command line and end the process with its exit code."""
    try:
        code = app(standalone_mode=False)
        if code == INTERRUPTED:  # some versions of typer turn Ctrl-C into this code by themselves
            raise KeyboardInterrupt
    except VbenchError as error:
        sys.exit(_say(str(error), error.exit_code))
    except (KeyboardInterrupt, typer.Abort):
        _leave(_say("interrupted", INTERRUPTED))
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output left; there is nobody to tell
        sys.exit(0)
    except Exception as error:
        # Usage errors have no public base class that all versions of typer share, but all have this method.
        if not hasattr(error, "format_message"):
            raise
        sys.exit(_say(f"{error.format_message() or 'name a command'} (see --help)", VbenchError.exit_code))
    sys.exit(code if isinstance(code, int) else 0)


def _leave(code: int) -> None:
    """End at once: a thread that still reads a video would hold up an orderly exit until it is done."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _say(message: str, code: int) -> int:
    print(f"vbench: {' '.join(message.split())}", file=sys.stderr)
    return code
