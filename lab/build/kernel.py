# SPDX-License-Identifier: Apache-2.0
"""Kernels: from a recipe to a boot image whose running copy can be identified by its build id."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.arch import Architecture, architecture
from lab.build import base_config, elf, kconfig, older
from lab.build.cache import Cache, Value, file_digest
from lab.build.commands import output
from lab.build.kbuild import Kbuild, tools_for, version_of
from lab.build.learned import Learned, learned, note_objects, shape_of
from lab.build.local_tree import path_will_do, why_not_as_it_is
from lab.build.patching import copy_tree, lay_files_over, patch_in_order
from lab.build.source import Source, SourceTree, fetch
from lab.child_env import ignored_by_builds
from lab.errors import ConfigError, InfraError
from lab.events import Progress, Sink, Step, nowhere

BUILD_MIB = 2500
_USUALLY_S = 830.0  # from nothing, on 2 cores; a minute with a warm ccache


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a kernel is made of. `tree` is a folder of files to add, beneath the source's root."""

    name: str
    source: Source
    fragments: tuple[Path, ...]
    patches: tuple[Path, ...] = ()
    tree: Path | None = None
    fixes: tuple[Path, ...] = ()
    """Patches on top of all that: they may change what `tree` adds."""
    cmdline: tuple[str, ...] = ()
    make: tuple[str, ...] = ()
    """Variables for make, as "LLVM=1"."""
    borrowed: tuple[Path, ...] = ()
    """Those of `fragments` that were written for another source: see `older`."""

    def change(self, tree: Path) -> None:
        """Turn a copy of the source into what this recipe builds.

        Args:
            tree: The copy.

        Raises:
            ConfigError: A patch does not apply.
        """
        patch_in_order(tree, self.patches)
        if self.tree:
            lay_files_over(tree, self.tree)
        patch_in_order(tree, self.fixes)


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelImage:
    """A kernel that can be booted."""

    name: str
    arch: str
    image: Path
    """bzImage or Image."""
    vmlinux: Path
    """Stripped ELF; on x86 with the PVH note, if the configuration has PVH."""
    config: Path | None
    release: str
    """What `uname -r` says."""
    build_id: str
    """GNU build id in hex; a running kernel shows it in /sys/kernel/notes."""
    digest: str
    source: str
    """Where the source came from, with its version, for reports."""
    cmdline: tuple[str, ...] = ()
    """What its recipe adds to the kernel's command line."""
    compiler: str = ""
    """What the compiler says of its version; "" if somebody else built it."""
    make: tuple[str, ...] = ()
    """Variables that lab.toml has for make."""
    modules: Path | None = None
    """A folder of modules that an L1's init loads, with their order; None if it loads none."""

    def lacks(self, option: str) -> bool:
        """Return whether the kernel is known to have been built without an option.

        Args:
            option: Its name, without CONFIG_.

        Returns:
            True if its configuration does not set it; False if it does, or is not known.
        """
        if self.config is None:
            return False
        return option not in kconfig.values(self.config.read_text(encoding="utf-8"))

    @property
    def version(self) -> tuple[int, int]:
        """The first two numbers of its release; (0, 0) if it has none."""
        found = re.match(r"(\d+)\.(\d+)", self.release)
        return (int(found[1]), int(found[2])) if found else (0, 0)


def build(recipe: Recipe, arch: str, cache: Cache, *, sink: Sink = nowhere) -> KernelImage:
    """Build `recipe`, or find it built.

    Args:
        recipe: What the kernel is made of.
        arch: "x86_64" or "arm64".
        cache: Where it is cached.
        sink: Receives the steps.

    Returns:
        The kernel.

    Raises:
        ConfigError: The recipe cannot be built: its source, a fragment, a patch or the code.
        UnavailableError: A program that builds kernels is missing.
    """
    made_for = architecture(arch)
    tools = tools_for(made_for, recipe.make)
    compiler = version_of(tools)
    if ignored := ignored_by_builds(recipe.make):
        words = f"set make = {list(ignored)} in [kernel.{recipe.name}] to build with them"
        sink(Step(what=f"{', '.join(ignored)} of the environment has no effect; {words}"))
    source = fetch(recipe.source, cache, sink)
    whole, fragments = base_config.split(recipe.fragments)
    settings = kconfig.read_fragments(fragments)
    inputs: dict[str, Value] = {
        "name": recipe.name,
        "arch": arch,
        "source": source.digest,
        "wishes": sorted(setting.line for setting in settings),
        "patches": [file_digest(patch) for patch in recipe.patches],
        "tree": _digests(recipe.tree),
        "compiler": compiler,
    }
    if whole:
        inputs["config"] = file_digest(whole)
    if recipe.make:
        inputs["make"] = list(recipe.make)
    if recipe.fixes:
        inputs["fixes"] = [file_digest(patch) for patch in recipe.fixes]
    what = f"kernel {recipe.name} for {arch}"
    path = cache.entry(
        "kernel",
        inputs,
        lambda out: _Build(
            recipe, made_for, tools, source, settings, whole, cache, sink, out
        ).run(),
        what=what,
        usually_s=_USUALLY_S,
        sink=sink,
        needs_mib=BUILD_MIB,
    )
    return _image(recipe, arch, path, source.name, compiler)


@dataclass(frozen=True, slots=True)
class _Build:
    recipe: Recipe
    target: Architecture
    tools: Mapping[str, str]
    source: SourceTree
    settings: tuple[kconfig.Setting, ...]
    whole: Path | None
    cache: Cache
    sink: Sink
    out: Path
    began: float = field(default_factory=time.monotonic)

    def run(self) -> None:
        if path_will_do(self.out):
            self._in(self.out)
            return
        # Beneath such a cache no kernel can be built, wherever its source is.
        with tempfile.TemporaryDirectory(prefix="lab-kernel-", dir=_elsewhere()) as base:
            self._in(Path(base))

    def _in(self, base: Path) -> None:
        work = base / "work"
        objects = work / "o"
        objects.mkdir(parents=True)
        kbuild = Kbuild(
            name=self.recipe.name,
            target=self.target,
            tools=self.tools,
            tree=self._tree(work / "src"),
            objects=objects,
            words=self.recipe.make,
            base=base,
        )
        self.sink(Step(what=f"configuring kernel {self.recipe.name} for {self.target.name}"))
        kbuild.configure(self.settings, self.whole)
        settings = self._fitted(kbuild)
        self._tell_differences(kbuild.config)
        kconfig.check_survival(settings, kbuild.config.read_text(), kbuild.tree)
        self._make(kbuild)
        self._collect(objects)
        shutil.rmtree(work)

    def _fitted(self, kbuild: Kbuild) -> tuple[kconfig.Setting, ...]:
        """Return the settings that this tree has to take, once it was given what they need."""
        if not self.recipe.borrowed:
            return self.settings
        paths = [p for p in self.recipe.fragments if p not in self.recipe.borrowed]
        own = {s.symbol for s in kconfig.read_fragments(base_config.split(paths)[1])}
        borrowed = [setting for setting in self.settings if setting.symbol not in own]
        fit = older.fit(borrowed, kbuild.config.read_text(), kbuild.tree)
        if fit.more:
            kbuild.reconfigure((*self.settings, *fit.more))
        if fit.left_out:
            self.sink(Step(what=older.told(fit.left_out)))
        return tuple(setting for setting in self.settings if setting not in fit.left_out)

    def _tell_differences(self, config: Path) -> None:
        if self.whole is None:
            return
        name = f"kernel-{self.recipe.name}-{self.target.name}.config-differences"
        into = self.cache.folder("logs") / name
        text = config.read_text()
        self.sink(Step(what=base_config.differences(self.whole, text, self.settings, into)))

    def _tree(self, into: Path) -> Path:
        changed = self.recipe.patches or self.recipe.tree or self.recipe.fixes
        if not (self.source.ours or changed or why_not_as_it_is(self.source.path)):
            return self.source.path
        # Always at the same place relative to the objects, so that ccache knows it again.
        copy_tree(self.source, into)
        self.recipe.change(into)
        return into

    def _make(self, kbuild: Kbuild) -> None:
        digest = self.out.name.rpartition("-")[2]
        name = f"kernel-{self.recipe.name}-{self.target.name}-{digest}.log"
        log = self.cache.folder("logs") / name
        log.write_text("")
        known, ticks = learned(self.cache.root, self._what), list[float]()

        def one_more() -> None:
            ticks.append(time.monotonic() - self.began)
            if len(ticks) % 20 == 0:
                self._tell(len(ticks), known)

        complaints = kbuild.make(Path(self.target.image).name, log, self.cache, one_more)
        if complaints:
            raise ConfigError(
                f"kernel {self.recipe.name} does not build:\n" + "\n".join(complaints),
                hint=f"read make's output in {log}",
            )

        shape = shape_of(ticks, time.monotonic() - self.began)
        note_objects(self.cache.root, self._what, len(ticks), shape)

    @property
    def _what(self) -> str:
        return f"kernel {self.recipe.name} for {self.target.name}"

    def _tell(self, done: int, known: Learned) -> None:
        self.sink(
            Progress(
                what=self._what,
                done=done,
                total=max(done, known.units or self.target.objects),
                usually=known.usually_s(_USUALLY_S),
                unit="objects",
                shape=known.shape,
            )
        )

    def _collect(self, objects: Path) -> None:
        vmlinux = self.out / "vmlinux"
        shutil.copyfile(objects / self.target.image, self.out / Path(self.target.image).name)
        shutil.copyfile(objects / ".config", self.out / "config")
        shutil.copyfile(objects / "System.map", self.out / "System.map")
        shutil.copyfile(objects / "include/config/kernel.release", self.out / "release")
        output(
            [self.tools["STRIP"], "--strip-all", "-o", vmlinux, objects / "vmlinux"],
            doing="stripping vmlinux",
        )
        pvh = "CONFIG_PVH=y" in (self.out / "config").read_text().splitlines()
        if pvh and not elf.boots_by_pvh(vmlinux):
            raise InfraError(f"'{vmlinux}' lost its PVH note when it was stripped")


def _image(recipe: Recipe, arch: str, path: Path, source: str, compiler: str) -> KernelImage:
    return KernelImage(
        name=recipe.name,
        arch=architecture(arch).name,
        image=path / architecture(arch).image_name,
        vmlinux=path / "vmlinux",
        config=path / "config",
        release=(path / "release").read_text().strip(),
        build_id=elf.build_id(path / "vmlinux"),
        digest=path.name,
        source=source,
        cmdline=recipe.cmdline,
        compiler=compiler,
        make=recipe.make,
    )


def _elsewhere() -> Path:
    folder = Path(tempfile.gettempdir())
    if not path_will_do(folder):
        raise ConfigError(
            f"no kernel can be built beneath the cache or '{folder}': the kernel's makefiles take "
            "no path with a space or a colon",
            hint="set LAB_CACHE, or 'cache' in lab.toml, to another folder",
        )
    return folder


def _digests(tree: Path | None) -> dict[str, str]:
    if tree is None:
        return {}
    if not tree.is_dir():
        raise ConfigError(f"kernel files '{tree}' are not a folder")
    return {
        str(path.relative_to(tree)): file_digest(path)
        for path in sorted(tree.rglob("*"))
        if path.is_file()
    }
