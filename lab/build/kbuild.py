# SPDX-License-Identifier: Apache-2.0
"""The kernel's makefiles: how they are called, so that the same inputs give the same bits."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.arch import Architecture
from lab.build import base_config, kconfig
from lab.build.cache import Cache
from lab.build.commands import follow, need, output
from lab.errors import ConfigError, InfraError

_OBJECT = re.compile(r"  [A-Z]{2,}\S*( \[\S\])? +\S")
_COMPLAINT = re.compile(r"\berror:|\bError \d|undefined reference|No rule to make|\*\*\*")
_SHOWN = 5
_FIXED = {  # the same inputs shall give the same bits
    "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 1970",
    "KBUILD_BUILD_USER": "lab",
    "KBUILD_BUILD_HOST": "lab",
    "LC_ALL": "C",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kbuild:
    """One source tree, and one folder of objects made from it.

    Attributes:
        name: What the kernel is called; part of its release.
        target: The architecture.
        tools: As `tools_for` gives them.
        tree: The source.
        objects: Where objects go.
        base: A folder above both; where it is, ccache does not mind.
        words: The user's variables for make; they come last, and so count.
    """

    name: str
    target: Architecture
    tools: Mapping[str, str]
    tree: Path
    objects: Path
    base: Path
    words: tuple[str, ...] = ()

    @property
    def config(self) -> Path:
        """The configuration."""
        return self.objects / ".config"

    def configure(self, settings: tuple[kconfig.Setting, ...], base: Path | None = None) -> None:
        """Lay `settings` over a configuration; see `check_survival` for what is lost.

        Args:
            settings: The lines of the fragments.
            base: A whole configuration to start with; the smallest one if None.

        Raises:
            ConfigError: The source cannot be configured, or `base` is for something else.
        """
        if base is None:
            self._quick("tinyconfig")
        else:
            self.config.write_text(base_config.start(base, self.target))
        self.config.write_text(kconfig.lay_over(self.config.read_text(), settings))
        self._quick("olddefconfig")

    def reconfigure(self, settings: tuple[kconfig.Setting, ...]) -> None:
        """Lay `settings` over what is there already, after the source has changed."""
        self.config.write_text(kconfig.lay_over(self.config.read_text(), settings))
        self._quick("olddefconfig")

    def _quick(self, goal: str) -> None:
        try:
            output(self._command(goal), doing=f"make {goal}", env=_FIXED)
        except InfraError as e:
            raise ConfigError(
                f"kernel {self.name}: its source has no working 'make {goal}': {e}"
            ) from e

    def make(self, goal: str, log: Path, cache: Cache, done: Callable[[], None]) -> tuple[str, ...]:
        """Make `goal`.

        Args:
            goal: A goal of the kernel's makefile.
            log: The file to append its output to.
            cache: Where ccache's folder is.
            done: Called for each object.

        Returns:
            The first complaints; none if the goal was made.
        """

        def seen(line: str) -> None:
            if _OBJECT.match(line):
                done()

        status = follow(
            [*self._command(goal), f"-j{_cores()}"],
            log,
            seen,
            env={**_FIXED, **self._ccache(cache)},
        )
        if status == 0:
            return ()
        lines = log.read_text().splitlines()
        return tuple([line for line in lines if _COMPLAINT.search(line)][:_SHOWN]) or (
            f"make ended with status {status}",
        )

    def _command(self, goal: str) -> list[str]:
        compiler = self.tools["CC"]
        if "CCACHE" in self.tools:
            compiler = f"{self.tools['CCACHE']} {compiler}"
        others = [word for word in self.words if not word.startswith("CC=")]
        return [
            "make", "-C", str(self.tree), f"O={self.objects}",
            f"ARCH={self.target.kernel}", f"CROSS_COMPILE={self.tools['PREFIX']}",
            f"CC={compiler}", f"LOCALVERSION=-{self.name}", *others, goal,
        ]  # fmt: skip

    def _ccache(self, cache: Cache) -> dict[str, str]:
        return {
            "CCACHE_DIR": str(cache.folder("ccache")),
            "CCACHE_BASEDIR": str(self.base),
            "CCACHE_NOHASHDIR": "1",
            "CCACHE_MAXSIZE": "4G",
        }


def tools_for(made_for: Architecture, words: Sequence[str] = ()) -> dict[str, str]:
    """Find the programs that build kernels for an architecture.

    Args:
        made_for: The architecture.
        words: The user's variables for make; LLVM, CC and CROSS_COMPILE choose the compiler.

    Returns:
        CC, STRIP and PREFIX; CCACHE, if it is installed.

    Raises:
        UnavailableError: One is missing.
    """
    said = dict(word.split("=", 1) for word in words)
    native = os.uname().machine == made_for.triplet.split("-")[0]
    prefix = said.get("CROSS_COMPILE", "" if native else f"{made_for.triplet}-")
    for program in ("make", "flex", "bison", "bc", "lz4", "cpio"):
        need(program, package="make flex bison bc lz4 cpio libelf-dev libssl-dev")
    tools = {"PREFIX": prefix}
    if llvm := said.get("LLVM"):
        # As Makefile: LLVM=1, LLVM=-18 for a version, LLVM=/path/ for a folder.
        before, after = (llvm if llvm.endswith("/") else ""), (llvm if llvm[0] == "-" else "")
        tools |= {"CC": f"{before}clang{after}", "STRIP": f"{before}llvm-strip{after}"}
        packages = f"clang{after}", f"llvm{after}"
    else:
        tools |= {"CC": f"{prefix}gcc", "STRIP": f"{prefix}strip"}
        target = "" if native else f"-{made_for.triplet}"
        packages = f"gcc{target}", f"binutils{target}"
    tools["CC"] = said.get("CC", tools["CC"])
    compiler = tools["CC"].split()[-1]  # it may be "ccache gcc"
    need(compiler, package=compiler if "CC" in said else packages[0])
    need(tools["STRIP"], package=packages[1])
    if (ccache := shutil.which("ccache")) and " " not in tools["CC"]:
        tools["CCACHE"] = ccache
    return tools


def version_of(tools: Mapping[str, str]) -> str:
    """Return the first line of what the compiler of `tools_for` says of its version."""
    command = [*tools["CC"].split(), "--version"]
    return output(command, doing="asking for the compiler").partition("\n")[0]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) + 1
