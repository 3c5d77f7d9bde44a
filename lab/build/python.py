# SPDX-License-Identifier: Apache-2.0
"""The Python of the L1s, run here: what it compiles, an emulated CPU need not.

Its programs are those of this machine's own architecture; the compiled modules are the same on all.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from lab.arch import native
from lab.build import archive
from lab.build.cache import Cache
from lab.build.commands import need, output
from lab.events import Sink, nowhere

_PACKAGE = "python3-minimal"
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


def build(suite: str, cache: Cache, *, mirror: str | None = None, sink: Sink = nowhere) -> Python:
    """Unpack the Python of Debian's `suite` for this machine, or find it unpacked.

    Args:
        suite: Debian's suite.
        cache: Where it is cached.
        mirror: The mirror's URL; that of this machine's apt if None.
        sink: Receives the steps.

    Returns:
        The interpreter.

    Raises:
        UnavailableError: mmdebstrap is missing.
        InfraError: No mirror answers.
    """

    def into(out: Path) -> None:
        sources, settings, packed = (out / name for name in ("sources.list", "apt.conf", "tar"))
        sources.write_text(archive.sources(archive.mirror(mirror), [suite]))
        settings.write_text(archive.carried_over())
        output(
            [
                need("mmdebstrap", package="mmdebstrap"),
                "--variant=extract", "--skip=chroot/mount",
                f"--architectures={native().debian}", f"--include={_PACKAGE}",
                f"--aptopt={settings}", "--aptopt=Apt::Install-Recommends false",
                "--format=tar", suite, packed, sources,
            ],
            doing=f"fetching {_PACKAGE} of {suite}",
            network=True,
        )  # fmt: skip
        output(
            ["tar", "-xf", packed, "-C", out, "--wildcards", *_WANTED],
            doing=f"unpacking {_PACKAGE} of {suite}",
        )
        for path in (packed, sources, settings):
            path.unlink()

    made = cache.entry(
        "python",
        {"format": 1, "arch": os.uname().machine, "suite": suite, "package": _PACKAGE},
        into,
        what=f"the Python of Debian {suite}",
        usually_s=10,
        sink=sink,
        needs_mib=200,
    )
    return Python(made)
