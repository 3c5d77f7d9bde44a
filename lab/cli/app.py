# SPDX-License-Identifier: Apache-2.0
"""`lab` itself: its commands, its global options, and how an error becomes a line and a status."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from lab import __version__
from lab.build.offline import VARIABLE, close_gate
from lab.cli import (
    bench,
    bisect,
    build,
    cache,
    doctor_ladder,
    init,
    lock,
    merge,
    nightly,
    reports,
    run,
    selftest,
    ssh_console,
    up_down,
    verify,
)
from lab.cli.paths import at_home
from lab.cli.settings import Settings, err
from lab.errors import ConfigError, GoneError, LabError
from lab.record.classify import CANNOT_TELL
from lab.signals import StoppedError, stoppable

OK, BROKE, MISTAKE = 0, 3, 2
# typer brings its own click, or takes another's.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="lab",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Does a KVM guest survive the death of its VMM, and the kexec of its host?",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"caretaker-lab {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    ctx: typer.Context,
    lab_toml: Annotated[
        Path | None,
        typer.Option(
            envvar="LAB_TOML",
            callback=at_home,
            help="The lab's configuration, if not ./lab.toml or the lab's own.",
        ),
    ] = None,
    offline: Annotated[
        bool,
        typer.Option(envvar=VARIABLE, help="Go to no network: what is not cached is an error."),
    ] = False,
    debug: Annotated[
        bool, typer.Option(envvar="LAB_DEBUG", help="Show tracebacks, and every event of libvirt.")
    ] = False,
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the options that every command has."""
    ctx.obj = Settings(lab_toml, debug)
    if offline:
        close_gate()


for _module in (
    init,
    up_down,
    ssh_console,
    run,
    selftest,
    nightly,
    bisect,
    doctor_ladder,
    reports,
    verify,
    merge,
    cache,
    build,
    lock,
    bench,
):
    _module.register(app)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line.

    Args:
        argv: Its words without 'lab'; None is this process's own.

    Returns:
        The exit status: 0, what the command returned, 2 for a mistake in what was typed or
        configured, 3 if the lab broke, 125 if what lab.lock names has left the mirrors,
        128 + N if signal N stopped it.

    Raises:
        LabError: It broke, and --debug asks for the traceback.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in args
    try:
        with stoppable():
            status = app(args, prog_name="lab", standalone_mode=False)
    except StoppedError as e:
        _complain(f"stopped by {e}; what this command had begun is undone", None)
        return e.status
    except LabError as e:
        if debug:
            raise
        _complain(Exception.__str__(e), e.hint)
        return _status(e)
    except _UsageError as e:
        said = e.format_message() if hasattr(e, "format_message") else str(e)
        if type(e).__name__ == "NoArgsIsHelpError":  # its message is the help, of many lines
            err.print(said, markup=False, soft_wrap=True)
            return MISTAKE
        context = getattr(e, "ctx", None)
        _complain(" ".join(said.split()), f"{context.command_path if context else 'lab'} --help")
        return MISTAKE
    except BrokenPipeError:  # the reader of our output is gone
        sys.stderr.close()
        return OK
    return status if isinstance(status, int) else OK


def _status(error: LabError) -> int:
    if isinstance(error, GoneError):
        return CANNOT_TELL
    return MISTAKE if isinstance(error, ConfigError) else BROKE


def _complain(message: str, hint: str | None) -> None:
    err.print(f"lab: {message}", markup=False, soft_wrap=True)
    if hint:
        err.print(f"hint: {hint}", markup=False, soft_wrap=True)
