# SPDX-License-Identifier: Apache-2.0
"""`lab ssh` and `lab console`: a shell in a standing host, and its console."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from lab.cli.settings import Settings
from lab.deadline import Deadline, pause
from lab.errors import ConfigError, UnavailableError
from lab.resources.ledger import state_dir
from lab.standing.inventory import open_session
from lab.standing.registry import StandingHost, StandingHosts

_LOOK_S = 0.2


def register(app: typer.Typer) -> None:
    """Add these commands.

    Args:
        app: The `lab` command.
    """
    # Options after the host's name belong to the command: `lab ssh a ls --help` asks ls.
    app.command(context_settings={"allow_interspersed_args": False})(ssh)
    app.command()(console)


def ssh(
    ctx: typer.Context,
    host: Annotated[str, typer.Argument(help="Its name in the topology, or in 'lab status'.")],
    command: Annotated[
        list[str] | None, typer.Argument(help="What to run there; without it, a shell.")
    ] = None,
) -> int:
    """Log in to a standing host, or run a command there and return its status.

    Options of the command are not read here: lab ssh a ls --help.
    """
    words = list(command or [])
    if words[:1] == ["--"]:
        del words[0]
    elif words[:1] in (["-h"], ["--help"]):
        typer.echo(ctx.get_help())
        return 0
    elif words and words[0].startswith("-"):
        raise ConfigError(
            f"lab ssh: {words[0]!r} is no command", hint=f"type: lab ssh {host} COMMAND [ARGS]..."
        )
    door = _find(ctx.obj, host)
    client = shutil.which("ssh")
    if client is not None:
        sys.stdout.flush()
        remote = [shlex.join(words)] if words else []
        os.execv(client, [client, *ssh_options(door), *remote])  # noqa: S606 - it takes our place
    if not words:
        raise UnavailableError(
            "no 'ssh' program on this machine", hint="apt install openssh-client"
        )
    by = Deadline.after(ctx.obj.lab().patience.command)
    with open_session(door, by) as session:
        result = session.run(words, by=by)
    sys.stdout.write(result.stdout)
    sys.stderr.write(result.stderr)
    return result.status


def ssh_options(host: StandingHost) -> list[str]:
    """Return the arguments with which ssh trusts this host only, and reads no file of the user's.

    Args:
        host: A standing host; the file of its public key is written beside its private key.
    """
    known = host.key.with_name("known_hosts")
    known.write_text(f"[127.0.0.1]:{host.port} {host.host_key_line}\n", encoding="ascii")
    settings = {
        "BatchMode": "yes",
        "ControlPath": "none",
        "GlobalKnownHostsFile": "/dev/null",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "LogLevel": "ERROR",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(known),
    }
    options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
    return [
        "-F",
        "/dev/null",
        *options,
        "-i",
        str(host.key),
        "-p",
        str(host.port),
        "root@127.0.0.1",
    ]


def console(
    ctx: typer.Context,
    host: Annotated[str, typer.Argument(help="Its name in the topology, or in 'lab status'.")],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep printing new output, until Ctrl-C.")
    ] = False,
) -> None:
    """Print the console log of a standing host since power-on."""
    path = _find(ctx.obj, host).console
    try:
        _copy(path, follow=follow)
    except FileNotFoundError as e:
        raise ConfigError(
            f"{path}: no such file", hint="'lab status' lists the standing hosts"
        ) from e


def _copy(path: Path, *, follow: bool) -> None:
    with path.open("rb") as file:
        while True:
            new = file.read()
            sys.stdout.buffer.write(new)
            sys.stdout.buffer.flush()
            if not follow or not path.exists():
                return
            pause(_LOOK_S)


def _find(settings: Settings, name: str) -> StandingHost:
    return StandingHosts(state_dir(settings.lab().state)).find(name)
