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
from datetime import UTC, datetime
from pathlib import Path

from lab.arch import Architecture, architecture, native
from lab.build import archive, python, squashfs
from lab.build.cache import Cache, Value, file_digest
from lab.build.commands import follow, need
from lab.data import GUEST_IMAGES
from lab.errors import InfraError
from lab.events import Progress, Sink, Step, nowhere

_FOLDER = GUEST_IMAGES / "l1"
_USUALLY_S = 60
_IMAGE = "root.squashfs"
_SSHD = "sshd:*:100:65534::/run/sshd:/usr/sbin/nologin"  # it insists on a user of that name


@dataclass(frozen=True, slots=True)
class _Recipe:
    suite: str
    packages: tuple[str, ...]
    exclude: tuple[str, ...]
    remove: tuple[str, ...]


def build(arch: str, cache: Cache, *, mirror: str | None = None, sink: Sink = nowhere) -> Path:
    """Build the root file system of L1, at most once a month, or find it built.

    Debian's stable suite changes all the time, and that hardly ever matters here. So the inputs are
    the recipe and the month: security fixes arrive, and two runs of one day are the same. If a new
    month finds no mirror, the image of an earlier one is used, and `sink` has the reason.

    Args:
        arch: "x86_64" or "arm64".
        cache: Where it is cached.
        mirror: The mirror's URL; that of this machine's apt if None.
        sink: Receives the steps.

    Returns:
        The image.

    Raises:
        UnavailableError: mmdebstrap or mksquashfs is missing.
        InfraError: No mirror answers, and there is no earlier image.
    """
    made_for = architecture(arch)
    recipe = _read_recipe(made_for)
    inputs = _inputs(arch, datetime.now(UTC).strftime("%Y-%m"))
    what = f"root file system of L1 for {arch}"
    try:
        made = cache.entry(
            "rootfs",
            inputs,
            lambda out: _Build(made_for, recipe, mirror, cache, sink).into(out),
            what=what,
            usually_s=_USUALLY_S,
            sink=sink,
            needs_mib=1500,
        )
    except InfraError as e:
        earlier = cache.newest("rootfs", inputs, but="month")
        if earlier is None:
            raise
        sink(Step(what=f"{what}: using an earlier month's, because: {e}"))
        made = earlier
    return made / _IMAGE


def interpreter(cache: Cache, *, mirror: str | None = None, sink: Sink = nowhere) -> python.Python:
    """Return the Python of the root file systems, to run on this machine.

    Args:
        cache: Where it is cached.
        mirror: The mirror's URL; that of this machine's apt if None.
        sink: Receives the steps.

    Returns:
        The interpreter.
    """
    suite = _read_recipe(native()).suite
    return python.build(suite, cache, mirror=mirror, sink=sink)


def _inputs(arch: str, month: str) -> dict[str, Value]:
    # "how" goes up when what is done below changes.
    files = ("rootfs.toml", "sshd_config")
    digests = {name: file_digest(_FOLDER / name) for name in files}
    return {"arch": arch, "month": month, "how": 2, "format": squashfs.FORMAT, **digests}


def _read_recipe(made_for: Architecture) -> _Recipe:
    raw = tomllib.loads((_FOLDER / "rootfs.toml").read_text(encoding="utf-8"))
    return _Recipe(
        suite=raw["suite"],
        packages=(*raw["packages"], *raw[f"packages_{made_for.name}"]),
        exclude=tuple(raw["exclude"]),
        remove=tuple(raw["remove"]),
    )


@dataclass(frozen=True, slots=True)
class _Build:
    target: Architecture
    recipe: _Recipe
    mirror: str | None
    cache: Cache
    sink: Sink

    def into(self, out: Path) -> None:
        root, sources, settings = out / "root", out / "sources.list", out / "apt.conf"
        sources.write_text(archive.sources(archive.mirror(self.mirror), [self.recipe.suite]))
        settings.write_text(archive.carried_over())
        self._bootstrap(root, sources, settings)
        squashfs.make(root, out / _IMAGE, doing="packing the root file system")
        shutil.rmtree(root)
        sources.unlink()
        settings.unlink()

    def _compile(self) -> list[str]:
        return interpreter(self.cache, mirror=self.mirror, sink=self.sink).compile_command()

    def _bootstrap(self, root: Path, sources: Path, settings: Path) -> None:
        log = self.cache.folder("logs") / f"rootfs-{self.target.name}.log"
        log.write_text("")
        command: list[object] = [
            need("mmdebstrap", package="mmdebstrap"),
            "--variant=extract", "--skip=check/qemu,chroot/mount",
            f"--architectures={self.target.debian}",
            "--include=?essential", f"--include={','.join(self.recipe.packages)}",
            f"--aptopt={settings}", "--aptopt=Apt::Install-Recommends false",
            *(f"--dpkgopt=path-exclude={path}" for path in self.recipe.exclude),
            *_hooks(self.recipe, self._compile()),
            "--format=directory", self.recipe.suite, root, sources,
        ]  # fmt: skip
        teller = _Teller(self.target, self.sink)
        if follow(command, log, teller, env={"LC_ALL": "C"}, network=True) != 0:
            lines = [line for line in log.read_text().splitlines() if line.startswith(("E:", "W:"))]
            raise InfraError(
                f"building the root file system from {archive.mirror(self.mirror)} went wrong:\n"
                + "\n".join(lines[-5:]),
                hint=f"read mmdebstrap's output in {log}",
            )


def _hooks(recipe: _Recipe, compiler: Sequence[str]) -> list[str]:
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
