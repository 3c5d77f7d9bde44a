# SPDX-License-Identifier: Apache-2.0
"""Making a lock: what lab.toml, the recipes and the root file system ask for, by today's index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lab.arch import Arch
from lab.build import distribution, python, repository, rootfs, source
from lab.build.archive import Archive, Stanza, first
from lab.build.cache import Cache
from lab.build.supply import Supply
from lab.config import kernels
from lab.config.load import load_recipe
from lab.config.lock import Lock, LockedCommit, LockedPackage, LockedSet, Part
from lab.config.model import LabConfig
from lab.errors import ConfigError
from lab.events import Sink


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Something that a lock has packages for.

    Attributes:
        part: What they are for.
        arch: The architecture.
        wanted: The packages that are asked for.
        suites: Debian's suites.
        version: The version: all of it, or its beginning; None for any.
        whose: Who asks, for messages: "kernel debian".
        needed: Whether it is a mistake if Debian has it not: False if another architecture may.
    """

    part: Part
    arch: Arch
    wanted: tuple[str, ...]
    suites: tuple[str, ...]
    version: str | None = None
    whose: str
    needed: bool = True

    def in_lock(self, lock: Lock) -> LockedSet | None:
        """Return what a lock has for it.

        Args:
            lock: The lock.

        Returns:
            The packages; None if it has none.
        """
        return lock.find(self.part, self.arch, self.wanted, self.suites, self.version)

    def __str__(self) -> str:
        of = f" ({self.wanted[0]})" if len(self.wanted) == 1 else ""
        return f"{self.whose} for {self.arch}{of}"


def wishes(lab: LabConfig) -> tuple[Wish, ...]:
    """Return all that a lab's lock has packages for.

    Args:
        lab: What lab.toml says.

    Returns:
        The wishes, each once.

    Raises:
        ConfigError: A recipe is wrong.
    """
    found: dict[tuple[object, ...], Wish] = {}
    for wish in (*_of_root_file_systems(), *_of_kernels(lab)):
        found.setdefault((wish.part, wish.arch, wish.wanted, wish.suites, wish.version), wish)
    return tuple(found.values())


def branches(lab: LabConfig) -> tuple[tuple[str, str], ...]:
    """Return the names in remote repositories that a lab's lock has commits for.

    Args:
        lab: What lab.toml says.

    Returns:
        Repository and name of each.

    Raises:
        ConfigError: A recipe is wrong.
    """
    found: list[tuple[str, str]] = []
    for spec in lab.kernel.values():
        match _origin(spec):
            case kernels.FromGit(url=url, ref=ref) if repository.is_remote(url):
                found.append((url, ref))
            case _:
                pass
    return tuple(dict.fromkeys(found))


def index_of(wish: Wish, cache: Cache, supply: Supply) -> Archive:
    """Return the index that a wish is looked up in; it has to be renewed first.

    Args:
        wish: What is asked for.
        cache: Where the index is.
        supply: The mirrors.

    Returns:
        The index.
    """
    return Archive(cache, first(supply.mirrors), wish.suites, wish.arch.traits)


def resolve(wish: Wish, archive: Archive, sink: Sink) -> LockedSet | None:
    """Return the packages that fulfil a wish by today's index.

    Args:
        wish: What is asked for.
        archive: The index.
        sink: Receives the steps.

    Returns:
        The packages; None if the mirror has none for this architecture, and another may.

    Raises:
        ConfigError: The mirror has none; the hint has what there is.
        InfraError: The mirror does not answer.
    """
    try:
        found = _found(wish, archive, sink)
    except ConfigError:
        if wish.needed:
            raise
        return None
    return LockedSet(
        part=wish.part,
        arch=wish.arch,
        wanted=wish.wanted,
        of_version=wish.version,
        suites=wish.suites,
        packages=tuple(_locked(stanza) for stanza in found),
    )


def commit(url: str, ref: str) -> LockedCommit:
    """Return what a name in a repository is today.

    Args:
        url: The repository.
        ref: The name.

    Returns:
        The commit.

    Raises:
        ConfigError: There is none.
        InfraError: The repository does not answer.
    """
    return LockedCommit(url=url, ref=ref, commit=repository.commit_of(url, ref))


def _found(wish: Wish, archive: Archive, sink: Sink) -> tuple[Stanza, ...]:
    if wish.part in {Part.ROOTFS, Part.PYTHON}:
        return archive.installed_with(wish.wanted)
    (package,) = wish.wanted
    if wish.part is Part.KERNEL:
        assert wish.version is not None  # noqa: S101 - a package of a kernel has one
        return tuple(distribution.whole(archive, package, wish.version, sink))
    version = source.choose(package, wish.version, archive, sink).version
    stanza = archive.stanza(package, version)
    if stanza is None:
        raise ConfigError(f"no {package} {version} in {archive}")
    return (stanza,)


def _locked(stanza: Stanza) -> LockedPackage:
    return LockedPackage(
        name=stanza.name,
        version=stanza.version,
        path=stanza.path,
        size=stanza.size,
        sha256=stanza.sha256,
    )


def _of_root_file_systems() -> Iterator[Wish]:
    for arch in Arch:
        recipe = rootfs.read_recipe(arch.traits)
        suites = (recipe.suite,)
        yield Wish(part=Part.ROOTFS, arch=arch, wanted=recipe.packages, suites=suites,
                   whose="the root file system")  # fmt: skip
        yield Wish(part=Part.PYTHON, arch=arch, wanted=python.PACKAGES, suites=suites,
                   whose=f"the Python of Debian {recipe.suite}")  # fmt: skip


def _of_kernels(lab: LabConfig) -> Iterator[Wish]:
    for name, spec in lab.kernel.items():
        origin = _origin(spec)
        match origin:
            case kernels.FromPackage(package=package, version=version, suites=suites):
                for arch in Arch:
                    named = package.replace("{arch}", arch.traits.debian)
                    yield Wish(part=Part.KERNEL, arch=arch, wanted=(named,), suites=suites,
                               version=version, whose=f"kernel {name}", needed=False)  # fmt: skip
            case kernels.FromDebian(package=package, suites=suites):
                yield Wish(part=Part.SOURCE, arch=Arch.X86_64, wanted=(package,), suites=suites,
                           version=load_recipe(spec.recipe_folder).version,
                           whose=f"kernel {name}")  # fmt: skip
            case _:
                pass


def _origin(spec: kernels.KernelSpec) -> kernels.Source:
    origin = spec.source
    if isinstance(origin, kernels.FromRecipe):
        return load_recipe(origin.folder).origin
    return origin
