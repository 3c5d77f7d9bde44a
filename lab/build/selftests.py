# SPDX-License-Identifier: Apache-2.0
"""The selftests in a kernel's own tree, compiled to run in an L1 of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from lab.arch import Architecture, architecture
from lab.build.cache import Cache, file_digest
from lab.build.commands import compiler_of, need, output
from lab.build.kconfig import Setting, read_fragments
from lab.build.kernel import Recipe
from lab.build.patching import copy_tree
from lab.build.source import SourceTree, fetch
from lab.build.suite_files import built_in, is_staged, settings_of, timeout_of
from lab.errors import ConfigError, InfraError
from lab.events import Sink, nowhere

_HOME = Path("tools/testing/selftests")
_NEEDS_MIB = 600


@dataclass(frozen=True, slots=True)
class Selftests:
    """One suite, ready to be copied: its programs, in the order in which the tree names them.

    Attributes:
        suite: Its name.
        programs: What is run once. Scripts are left out: they want more of a host than the lab's
            has.
        staged: What is run before a kexec and after it.
        scripts: The names of what was left out.
        timeout_s: How long each may take by the suite's `settings`, in seconds; None if it does not
            say.
        config: The suite's `config`, as a fragment for a kernel; None if it has none.
    """

    suite: str
    programs: tuple[Path, ...]
    staged: tuple[Path, ...] = ()
    scripts: tuple[str, ...] = ()
    timeout_s: float | None = None
    config: Path | None = None

    def only(self, programs: Collection[Path]) -> Selftests:
        """Return the same suite with fewer programs.

        Args:
            programs: Those that stay.

        Returns:
            The suite, in the order that it had.
        """
        return replace(
            self,
            programs=tuple(p for p in self.programs if p in programs),
            staged=tuple(p for p in self.staged if p in programs),
        )

    @property
    def settings(self) -> tuple[Setting, ...]:
        """What it wants of the kernel's configuration."""
        return read_fragments([self.config]) if self.config else ()


def build(
    recipe: Recipe, suite: str, arch: str, cache: Cache, *, sink: Sink = nowhere
) -> Selftests:
    """Compile a suite of the tree that `recipe` makes, or find it compiled.

    Args:
        recipe: What the kernel is made of.
        suite: A folder of tools/testing/selftests.
        arch: "x86_64" or "arm64".
        cache: Where it is cached.
        sink: Receives the steps.

    Returns:
        The suite.

    Raises:
        ConfigError: The tree has no such suite.
        InfraError: It does not compile.
    """
    made_for = architecture(arch)
    compiler = compiler_of(made_for)
    source = fetch(recipe.source, cache, sink)
    overlay = sorted(p for p in recipe.tree.rglob("*") if p.is_file()) if recipe.tree else []
    has = (source.path / _HOME / suite / "Makefile").is_file()
    if not has and not any(p.parts[-3:-1] == ("selftests", suite) for p in overlay):
        raise ConfigError(
            f"{source.name} has no selftests '{suite}' that can be built on their own",
            hint=f"look in {source.path / _HOME}",
        )

    path = cache.entry(
        "selftests",
        {
            "suite": suite,
            "layout": 3,
            "arch": arch,
            "source": source.digest,
            "patches": [file_digest(patch) for patch in recipe.patches],
            "tree": [file_digest(p) for p in overlay],
            "fixes": [file_digest(patch) for patch in recipe.fixes],
        },
        _Build(recipe, source, suite, made_for, compiler).into,
        what=f"selftests {suite} of {recipe.name} for {arch}",
        usually_s=120 if suite == "kvm" else 15,
        sink=sink,
        needs_mib=_NEEDS_MIB,
    )
    return _read(path, suite)


def _read(path: Path, suite: str) -> Selftests:
    """Read back what a build left."""

    def listed(name: str) -> tuple[str, ...]:
        return tuple((path / name).read_text(encoding="utf-8").split())

    seconds, config = listed("timeout"), path / "config"
    return Selftests(
        suite,
        tuple(path / "tests" / name for name in listed("names")),
        staged=tuple(path / "tests" / name for name in listed("staged")),
        scripts=listed("scripts"),
        timeout_s=float(seconds[0]) if seconds else None,
        config=config if config.read_text(encoding="utf-8") else None,
    )


@dataclass(frozen=True, slots=True)
class _Build:
    recipe: Recipe
    source: SourceTree
    suite: str
    made_for: Architecture
    compiler: str

    def into(self, out: Path) -> None:
        tree, objects, made = out / "src", out / "o", out / "tests"
        copy_tree(self.source, tree)
        self.recipe.change(tree)
        made.mkdir()
        make = need("make", package="make")
        doing = f"compiling the selftests {self.suite} for {self.made_for.name}"
        settings = (f"ARCH={self.made_for.kernel}", f"CC={self.compiler}")
        output([make, "-s", "-C", tree, f"O={objects}", settings[0], "headers"], doing=doing)
        headers = f"KHDR_INCLUDES=-isystem {objects}/usr/include"
        home = [make, "-s", "-C", tree / _HOME / self.suite, f"OUTPUT={made}", headers, *settings]
        # Static, for this machine's libraries are not those of L1.
        env = {"LDFLAGS": "-static"}
        output([*home, f"-j{os.cpu_count() or 1}"], doing=doing, env=env)
        named = output([*home, "emit_tests", f"COLLECTION={self.suite}"], doing=doing, env=env)
        names = [line.partition(":")[2] for line in named.splitlines() if ":" in line]
        programs = [name for name in names if not name.endswith(".sh")]
        # emit_tests leaves out what wants a kexec, or a script, around it.
        asked = ["--eval=lab_extended: ; @echo $(notdir $(TEST_GEN_PROGS_EXTENDED))"]
        extended = output([*home, *asked, "lab_extended"], doing=doing, env=env).split()
        staged = [name for name in extended if is_staged(_found(made, name))]
        programs = [name for name in programs if name not in staged]
        self._note(out, tree / _HOME / self.suite)
        _write(out / "names", programs)
        _write(out / "staged", staged)
        _write(out / "scripts", [name for name in names if name.endswith(".sh")])
        _keep_only(made, [*programs, *staged])
        shutil.rmtree(tree)
        shutil.rmtree(objects)

    def _note(self, out: Path, folder: Path) -> None:
        """Keep what the suite's folder says of how it is run, and on what."""
        seconds = timeout_of(folder)
        _write(out / "timeout", [] if seconds is None else [f"{seconds:g}"])
        arch = self.made_for
        wanted = settings_of(folder, dict.fromkeys([arch.kernel, arch.qemu]))
        (out / "config").write_text(built_in(wanted), encoding="utf-8")


def _write(path: Path, words: list[str]) -> None:
    path.write_text("\n".join(words), encoding="utf-8")


def _found(folder: Path, name: str) -> Path:
    """Find a program that a makefile names without the folder that it is built in."""
    found = next((p for p in sorted(folder.rglob(name)) if p.is_file()), None)
    if found is None:
        raise InfraError(f"the selftest {name} is in its makefile's list, but was not built")
    return found


def _keep_only(folder: Path, names: list[str]) -> None:
    """Leave nothing but the programs, side by side; objects and libraries take much room.

    The tree names a program without the folder that it is built in, which may be the
    architecture's.
    """
    programs_folder = folder.with_name("programs")
    programs_folder.mkdir()
    for name in names:
        _found(folder, name).rename(programs_folder / name)
    shutil.rmtree(folder)
    programs_folder.rename(folder)
