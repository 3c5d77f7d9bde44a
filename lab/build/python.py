# SPDX-License-Identifier: Apache-2.0
"""The Python of the L1s, run here: what it compiles, an emulated CPU need not.

Its programs are those of this machine's own architecture; the compiled modules are the same on all.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from lab.arch import Arch, native
from lab.build import bootstrap
from lab.build.bootstrap import identity, repository
from lab.build.cache import Cache
from lab.build.commands import output
from lab.build.pool import Pool
from lab.build.supply import Supply
from lab.config.lock import Part
from lab.events import Sink, nowhere

PACKAGES = ("python3-minimal",)
"""What is asked for; the lock has what that needs, too."""
_WANTED = ("./usr/bin/python3*", "./usr/lib*")
# No check whether the source has changed: it is packed beside, and read-only.
_COMPILE = ("-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash")


@dataclass(frozen=True, slots=True)
class Python:
    """An interpreter that is run where it was unpacked, by its own dynamic loader."""

    root: Path

    def compile_command(self, *, beside: bool = False) -> list[str]:
        """Return the command that compiles the folders named behind it.

        Args:
            beside: Put the compiled modules where an import from a zip looks for them.

        Returns:
            The program and its arguments.
        """
        usr = self.root / "usr"
        (loader,) = usr.glob("lib*/ld-linux-*.so.*")
        (library,) = usr.glob("lib/*-linux-gnu*")
        binary = (usr / "bin/python3").resolve()
        setting = ("env", f"PYTHONHOME={usr}", "LC_ALL=C.UTF-8")
        program = (loader, "--library-path", library, binary)
        return [str(word) for word in (*setting, *program, *_COMPILE, *(("-b",) if beside else ()))]

    def compile_beside(self, folder: Path) -> None:
        """Compile all modules under `folder`, for a zip.

        Raises:
            InfraError: One of them is no Python.
        """
        command = [*self.compile_command(beside=True), "-s", str(folder), str(folder)]
        output(command, doing=f"compiling {folder.name}")


def build(suite: str, cache: Cache, supply: Supply, *, sink: Sink = nowhere) -> Python:
    """Unpack the Python of Debian's `suite` for this machine, or find it unpacked.

    Args:
        suite: Debian's suite.
        cache: Where it is cached.
        supply: The lock, and mirrors.
        sink: Receives the steps.

    Returns:
        The interpreter.

    Raises:
        ConfigError: The lock has none.
        GoneError: All mirrors have dropped a locked package.
        UnavailableError: mmdebstrap is missing.
        InfraError: No mirror answers.
    """
    what = f"the Python of Debian {suite}"
    locked = supply.locked(Part.PYTHON, Arch(native().name), PACKAGES, (suite,), whose=what)

    def into(out: Path) -> None:
        files = Pool(cache, supply.mirrors).files(locked, what=what, sink=sink)
        packed = out / "tar"
        with repository(locked, files, out / "packages") as sources:
            more = ("--skip=chroot/mount", *(f"--include={n}" for n in PACKAGES), "--format=tar")
            output(
                [*bootstrap.command(more, native(), suite), packed, sources],
                doing=f"unpacking {what}",
            )
        output(
            ["tar", "-xf", packed, "-C", out, "--wildcards", *_WANTED],
            doing=f"unpacking {what}",
        )
        packed.unlink()

    made = cache.entry(
        "python",
        {"format": 2, "arch": os.uname().machine, "suite": suite, "packages": identity(locked)},
        into,
        what=what,
        usually_s=10,
        sink=sink,
        needs_mib=200,
    )
    return Python(made)
