# SPDX-License-Identifier: Apache-2.0
"""The root file system of every L1: a small Debian, packed read-only.

Its packages are unpacked and not configured, so that one machine makes it for any architecture and
needs no emulation of foreign programs. What their scripts would have done, and an L1 needs, is done
by the hooks below.
"""

from __future__ import annotations

import shlex
import shutil
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.arch import Arch, Architecture, native
from lab.build import bootstrap, python, squashfs
from lab.build.bootstrap import identity, repository
from lab.build.cache import Cache, Value, file_digest
from lab.build.commands import follow
from lab.build.pool import Pool
from lab.build.supply import Supply
from lab.config.lock import LockedSet, Part
from lab.data import GUEST_IMAGES
from lab.errors import InfraError
from lab.events import Progress, Sink, nowhere

_FOLDER = GUEST_IMAGES / "l1"
_USUALLY_S = 60
_IMAGE = "root.squashfs"
_SSHD = "sshd:*:100:65534::/run/sshd:/usr/sbin/nologin"  # it insists on a user of that name


@dataclass(frozen=True, slots=True)
class Recipe:
    """guest-images/l1/rootfs.toml for one architecture.

    Attributes:
        suite: Debian's suite.
        packages: What is asked for: "?essential" is all that Debian calls so.
        exclude: Patterns of paths that are not unpacked.
        remove: Patterns of paths that are removed at the end.
    """

    suite: str
    packages: tuple[str, ...]
    exclude: tuple[str, ...]
    remove: tuple[str, ...]


def read_recipe(made_for: Architecture) -> Recipe:
    """Read the recipe of the root file system.

    Args:
        made_for: The architecture.

    Returns:
        The recipe.
    """
    raw = tomllib.loads((_FOLDER / "rootfs.toml").read_text(encoding="utf-8"))
    return Recipe(
        suite=raw["suite"],
        packages=("?essential", *raw["packages"], *raw[f"packages_{made_for.name}"]),
        exclude=tuple(raw["exclude"]),
        remove=tuple(raw["remove"]),
    )


def build(arch: Arch, cache: Cache, supply: Supply, *, sink: Sink = nowhere) -> Path:
    """Build the root file system of L1, or find it built.

    It is made of the packages that the lock names: no mirror's news and no date changes it.

    Args:
        arch: The architecture.
        cache: Where it is cached.
        supply: The lock, and mirrors.
        sink: Receives the steps.

    Returns:
        The image.

    Raises:
        ConfigError: The lock has no root file system, or one of another recipe.
        GoneError: All mirrors have dropped a locked package.
        UnavailableError: mmdebstrap or mksquashfs is missing.
        InfraError: No mirror answers.
        OfflineError: A package is not in the cache, and the lab is offline.
    """
    recipe = read_recipe(arch.traits)
    what = f"root file system of L1 for {arch}"
    locked = supply.locked(
        Part.ROOTFS, arch, recipe.packages, (recipe.suite,), whose="the root file system"
    )
    made = cache.entry(
        "rootfs",
        _inputs(arch, locked),
        lambda out: _Build(arch.traits, recipe, locked, supply, cache, sink).into(out),
        what=what,
        usually_s=_USUALLY_S,
        sink=sink,
        needs_mib=1500,
    )
    return made / _IMAGE


def interpreter(cache: Cache, supply: Supply, *, sink: Sink = nowhere) -> python.Python:
    """Return the Python of the root file systems, to run on this machine.

    Args:
        cache: Where it is cached.
        supply: The lock, and mirrors.
        sink: Receives the steps.

    Returns:
        The interpreter.
    """
    return python.build(read_recipe(native()).suite, cache, supply, sink=sink)


def _inputs(arch: Arch, locked: LockedSet) -> dict[str, Value]:
    # "how" goes up when what is done below changes.
    files = ("rootfs.toml", "sshd_config")
    digests = {name: file_digest(_FOLDER / name) for name in files}
    return {
        "arch": arch,
        "how": 3,
        "format": squashfs.FORMAT,
        "packages": identity(locked),
        **digests,
    }


@dataclass(frozen=True, slots=True)
class _Build:
    target: Architecture
    recipe: Recipe
    locked: LockedSet
    supply: Supply
    cache: Cache
    sink: Sink

    def into(self, out: Path) -> None:
        what = f"the root file system for {self.target.name}"
        files = Pool(self.cache, self.supply.mirrors).files(self.locked, what=what, sink=self.sink)
        root = out / "root"
        with repository(self.locked, files, out / "packages") as sources:
            self._unpack(root, sources)
        squashfs.make(root, out / _IMAGE, doing="packing the root file system")
        shutil.rmtree(root)

    def _unpack(self, root: Path, sources: Path) -> None:
        log = self.cache.folder("logs") / f"rootfs-{self.target.name}.log"
        log.write_text("")
        compiler = interpreter(self.cache, self.supply, sink=self.sink).compile_command()
        more = [
            "--skip=check/qemu,chroot/mount",
            *(f"--include={name}" for name in self.recipe.packages),
            *(f"--dpkgopt=path-exclude={path}" for path in self.recipe.exclude),
            *_hooks(self.recipe, compiler),
            "--format=directory",
        ]
        whole = [*bootstrap.command(more, self.target, self.recipe.suite), root, sources]
        teller = _Teller(self.target, self.sink)
        if follow(whole, log, teller, env={"LC_ALL": "C"}) != 0:
            lines = [line for line in log.read_text().splitlines() if line.startswith(("E:", "W:"))]
            raise InfraError(
                "unpacking the root file system went wrong:\n" + "\n".join(lines[-5:]),
                hint=f"read mmdebstrap's output in {log}",
            )


def _hooks(recipe: Recipe, compiler: Sequence[str]) -> list[str]:
    """Finish the root inside mmdebstrap, where an ordinary user too may change root's files."""
    users = '"$1"/usr/share/base-passwd'
    shell = [
        f'cp {users}/passwd.master "$1"/etc/passwd',
        f'cp {users}/group.master "$1"/etc/group',
        f'echo "{_SSHD}" >> "$1"/etc/passwd',
        f'{shlex.join(compiler)} -s "$1" -p / "$1"/usr/lib/python3*',
        *(f'rm -rf "$1"{path}' for path in recipe.remove),
        'mkdir -p "$1"/lab "$1"/boot "$1"/var/log',
        # Of the two shells, bash takes twice as long to start.
        """sed -i '/^root:/s,[^:]*$,/bin/sh,' "$1"/etc/passwd""",
        f'install -m 644 "{_FOLDER}/sshd_config" "$1"/etc/ssh/sshd_config',
        'echo "127.0.0.1 localhost" > "$1"/etc/hosts',
        'rm -f "$1"/root/.bashrc "$1"/root/.profile',
    ]
    return [f"--extract-hook={line}" for line in shell]


class _Teller:
    """Turn mmdebstrap's stages into progress."""

    _STAGES = ("running apt-get update", "downloading", "extracting", "cleaning")

    def __init__(self, made_for: Architecture, sink: Sink) -> None:
        self._what = f"root file system of L1 for {made_for.name}"
        self._sink = sink
        self._stage = 0

    def __call__(self, line: str) -> None:
        for number, stage in enumerate(self._STAGES, 1):
            if number > self._stage and line.startswith("I:") and stage in line:
                self._stage = number
                self._sink(
                    Progress(
                        what=self._what,
                        done=number,
                        total=len(self._STAGES) + 1,
                        usually=_USUALLY_S,
                    )
                )
