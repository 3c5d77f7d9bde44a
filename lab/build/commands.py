# SPDX-License-Identifier: Apache-2.0
"""The only place in this package that runs programs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from lab.arch import Architecture
from lab.build.offline import pass_gate
from lab.child_env import UMASK, child_env
from lab.errors import InfraError, UnavailableError

LAST_LINES = 15


def need(program: str, *, package: str) -> str:
    """Find a program.

    Args:
        program: Its name.
        package: The Debian package that has it, for the hint.

    Returns:
        Its path.

    Raises:
        UnavailableError: It is not installed; the hint names the package.
    """
    # Programs for administrators are not on every user's PATH.
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    found = shutil.which(program, path=path)
    if found is None:
        raise UnavailableError(
            f"the program '{program}' is not installed", hint=f"apt install {package}"
        )
    return found


def output(
    command: Sequence[object],
    *,
    doing: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    network: bool = False,
    errors: str = "replace",
) -> str:
    """Run `command` to its end.

    Args:
        command: The program and its arguments.
        doing: What it does, for the message.
        cwd: Where it runs.
        env: Variables to add to those of `child_env`.
        network: It fetches, so it is told of proxies and the like.
        errors: How bytes that are no UTF-8 are decoded: "surrogateescape" for names of files.

    Returns:
        Its standard output.

    Raises:
        InfraError: It failed; the message has `doing` and the last lines of its output.
        OfflineError: It fetches, and the lab is offline.
    """
    if network:
        pass_gate(doing)
    done = subprocess.run(
        [str(argument) for argument in command],
        cwd=cwd,
        env=child_env(env, network=network),
        umask=UMASK,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        close_fds=False,  # a cache lock must live as long as whatever writes beneath it
    )
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).decode(errors="replace").splitlines()
        raise InfraError(
            f"{doing}: '{command[0]}' ended with status {done.returncode}:\n"
            + "\n".join(lines[-LAST_LINES:])
        )
    return done.stdout.decode(errors=errors)


def output_of_bytes(command: Sequence[object], stdin: bytes) -> bytes:
    """Run a filter over `stdin`.

    Args:
        command: The program and its arguments.
        stdin: What it reads.

    Returns:
        What it writes.

    Raises:
        InfraError: It failed.
    """
    done = subprocess.run(
        [str(argument) for argument in command],
        env=child_env(),
        umask=UMASK,
        input=stdin,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        raise InfraError(f"'{command[0]}': {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def follow(
    command: Sequence[object],
    log: Path,
    seen: Callable[[str], None],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    network: bool = False,
) -> int:
    """Run `command`, append its output to `log`, and follow it line by line.

    Args:
        command: The program and its arguments.
        log: The file to append to.
        seen: Called with each line.
        cwd: Where it runs.
        env: Variables to add to those of `child_env`.
        network: It fetches, so it is told of proxies and the like.

    Returns:
        Its status.

    Raises:
        OfflineError: It fetches, and the lab is offline.
    """
    if network:
        pass_gate(Path(str(command[0])).name)
    with (
        log.open("a", encoding="utf-8", buffering=1) as file,
        _process(command, cwd, child_env(env, network=network)) as (process, lines),
    ):
        for line in lines:
            file.write(line)
            seen(line.rstrip("\n"))
        return process.wait()


@contextmanager
def _process(
    command: Sequence[object], cwd: Path | None, env: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[str], IO[str]]]:
    with subprocess.Popen(
        [str(argument) for argument in command],
        cwd=cwd,
        env=env,
        umask=UMASK,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        close_fds=False,  # as above
    ) as process:
        assert process.stdout is not None  # noqa: S101 - PIPE, above
        try:
            yield process, process.stdout
        except BaseException:
            process.terminate()  # make passes it on to its children
            raise


def compiler_of(made_for: Architecture) -> str:
    """Return the C compiler for an architecture: this machine's own, or a cross compiler."""
    native = os.uname().machine == made_for.triplet.split("-")[0]
    if native:
        return need("gcc", package="gcc libc6-dev")
    compiler = f"{made_for.triplet}-gcc"
    return need(compiler, package=f"gcc-{made_for.triplet} libc6-dev-{made_for.debian}-cross")
