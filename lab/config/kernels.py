# SPDX-License-Identifier: Apache-2.0
"""Kernels: what lab.toml says of them, and the recipes in guest-images/kernels/."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from lab.config.enums import Arch
from lab.config.fields import (
    File,
    FileOrFolder,
    Folder,
    KernelWords,
    Model,
    RecipeFolder,
    Text,
    expanded,
    wrong,
)

_OF_THE_LAB = {
    "ARCH": "each cell names its architecture",
    "KBUILD_OUTPUT": "trees are built out of place",
    "KCONFIG_CONFIG": "'config' adds to the configuration",
    "LOCALVERSION": "the release ends with the kernel's name",
    "M": "a whole kernel is built",
    "O": "trees are built out of place",
}

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class FromRecipe(Model):
    """Build what `folder`/kernel.toml describes."""

    folder: Path


class FromDebian(Model):
    """Unpack a Debian source package, from the first of `suites` that has it."""

    package: str
    suites: tuple[str, ...]


class FromTarball(Model):
    """Unpack a tarball, fetched from a URL or read from a path."""

    url: str
    sha256: str


class FromGit(Model):
    """Check out `ref` of a repository."""

    url: str
    ref: str


class FromTree(Model):
    """Build a source tree out of place; it is not written to."""

    folder: Path


class FromImage(Model):
    """Take a bootable image as it is, and the modules that go with it."""

    file: Path
    modules: Path | None = None


class FromPackage(Model):
    """Take the kernel in a package of Debian's, from the mirror."""

    package: str
    version: str
    suites: tuple[str, ...]


class FromPackageFiles(Model):
    """Take the kernel in a distribution's packages, .deb or .rpm."""

    files: tuple[Path, ...]


def _for_make(word: str) -> str:
    name, _, value = word.partition("=")
    if not value.strip() or not re.fullmatch("[A-Z_][A-Z0-9_]*", name):
        raise wrong(f"expected NAME=VALUE, got {word!r}", "as in: make = ['LLVM=1']")
    if name in _OF_THE_LAB:
        raise wrong(f"{name} is set by the lab: {_OF_THE_LAB[name]}", f"remove {word!r}")
    return word


MakeWord = Annotated[str, AfterValidator(_for_make)]

Distribution = FromPackage | FromPackageFiles
Prebuilt = FromImage | Distribution
Source = FromRecipe | FromDebian | FromTarball | FromGit | FromTree | Prebuilt


def _exactly_one(table: dict[str, object], pairs: dict[str, str]) -> None:
    """Check that there is one source, and that each half of a pair comes with the other."""
    sources = [
        key for key, value in table.items() if value is not None and key not in pairs.values()
    ]
    choice = ", ".join(key for key in table if key not in pairs.values())
    if len(sources) != 1:
        came = " and ".join(repr(key) for key in sources) or "none"
        raise wrong(f"expected exactly one source, got {came}", f"keep one of: {choice}")
    for key, partner in pairs.items():
        if table[key] is not None and table[partner] is None:
            raise wrong(f"{key!r} comes without {partner!r}", f"add: {partner} = '...'")
        if table[key] is None and table[partner] is not None:
            raise wrong(f"{partner!r} comes without {key!r}", f"add {key!r}, or remove {partner!r}")


class _Fetched(Model):
    """The sources that lab.toml and recipes have in common."""

    tarball: Text | None = None
    """URL or path of a source tarball; needs `sha256`."""
    sha256: Sha256 | None = None
    """Digest of the tarball, as 64 hexadecimal digits."""
    git: Text | None = None
    """URL or path of a git repository; needs `ref`."""
    ref: Text | None = None
    """What to check out of it: a branch, tag or commit."""

    @field_validator("tarball")
    @classmethod
    def _found(cls, tarball: str | None, info: ValidationInfo) -> str | None:
        if tarball is None or "://" in tarball or not info.context:
            return tarball
        path: Path = info.context["folder"] / expanded(Path(tarball))
        if not path.is_file():
            raise wrong(f"no such file: {tarball!r}", f"looked for {path}")
        return str(path)

    @field_validator("git")
    @classmethod
    def _repository(cls, git: str | None, info: ValidationInfo) -> str | None:
        # As git itself tells them apart: "host:path" is remote, "./host:path" is not.
        if git is None or "://" in git or re.match("[^/]+:", git) or not info.context:
            return git
        path: Path = info.context["folder"] / expanded(Path(git))
        if not path.exists():
            raise wrong(f"no such repository: {git!r}", f"looked for {path}")
        return str(path)

    def _fetched(self) -> Source:
        if self.tarball is not None and self.sha256 is not None:
            return FromTarball(url=self.tarball, sha256=self.sha256)
        assert self.git is not None and self.ref is not None  # noqa: S101, PT018 - validated
        return FromGit(url=self.git, ref=self.ref)


class KernelSpec(_Fetched):
    """One [kernel.<name>] of lab.toml: where its source comes from, and what is added to it."""

    recipe: RecipeFolder | None = None
    """A folder of guest-images/kernels/, by name: its source, fragments, patches and files."""
    tree: Folder | None = None
    """A source tree, built out of place; the tree is not written to."""
    image: File | None = None
    """A bootable image (bzImage; or arm64's Image, plain or packed), used as it is."""
    modules: Folder | None = None
    """The /lib/modules/RELEASE of `image`, where a host's drivers are modules."""
    package: Text | None = None
    """A Debian package with a kernel; needs `version`. "{arch}" in it is amd64 or arm64."""
    version: Text | None = None
    """The package's version, all of it: "7.3.4-1~bpo13+1"."""
    suites: Annotated[tuple[Text, ...], Field(min_length=1)] = ("trixie-backports", "trixie")
    """Debian suites to look for `package` in."""
    packages: tuple[File, ...] = ()
    """Files with a kernel and its modules: .deb of Debian or Ubuntu, .rpm of Fedora."""
    fragments: RecipeFolder = Path("stock")
    """The recipe whose config fragments a source without a recipe is built with."""
    config: tuple[File, ...] = ()
    """Config fragments on top of those: each line must survive `olddefconfig`. A whole one takes
    tinyconfig's place; "tree" is the .config of `tree`."""
    patches: tuple[FileOrFolder, ...] = ()
    """Patches, mailboxes, or folders of them in order (quilt's `series`, else by name)."""
    make: tuple[MakeWord, ...] = ()
    """Variables for make, as "LLVM=1", "CC=gcc-12"; those of the environment have no effect."""
    cmdline: tuple[KernelWords, ...] = ()
    """Words for the kernel's command line, after the lab's own. The console is never made quieter
    than `loglevel=6`: the verdict rests on what it says."""
    stands_for: Text | None = None
    """The kernel in whose cells this one runs instead; ids then have this one's name."""

    @field_validator("config", mode="before")
    @classmethod
    def _of_the_tree(cls, config: object, info: ValidationInfo) -> object:
        said = config if isinstance(config, list | tuple) else (config,)
        tree = info.data.get("tree")
        if "tree" in said and tree is None:
            raise wrong("'tree' is the .config of a 'tree', and there is none", "name its file")
        return tuple(tree / ".config" if one == "tree" and tree else one for one in said)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        keys = ("recipe", "tree", "tarball", "sha256", "git", "ref", "image", "package", "version",
                "packages")  # fmt: skip
        pairs = {"tarball": "sha256", "git": "ref", "package": "version"}
        _exactly_one({k: getattr(self, k) or None for k in keys}, pairs)
        taken = next((k for k in ("image", "package", "packages") if getattr(self, k)), None)
        changes = [
            k for k in ("fragments", "config", "patches", "make") if k in self.model_fields_set
        ]
        if taken and changes:
            raise wrong(f"{taken!r} is taken as it is, so {changes[0]!r} has no effect")
        if self.modules and not self.image:
            raise wrong("'modules' go with 'image', and there is none", "remove 'modules'")
        if "suites" in self.model_fields_set and not self.package:
            raise wrong("'suites' are for 'package', and there is none", "remove 'suites'")
        if self.recipe and "fragments" in self.model_fields_set:
            raise wrong("a recipe has its own fragments", "remove 'fragments', or use 'config'")
        return self

    @property
    def source(self) -> Source:
        """The one source, as a type to match on."""
        if self.recipe is not None:
            return FromRecipe(folder=self.recipe)
        if self.tree is not None:
            return FromTree(folder=self.tree)
        if self.image is not None:
            return FromImage(file=self.image, modules=self.modules)
        if self.package is not None and self.version is not None:
            return FromPackage(package=self.package, version=self.version, suites=self.suites)
        if self.packages:
            return FromPackageFiles(files=self.packages)
        return self._fetched()

    @property
    def recipe_folder(self) -> Path:
        """The recipe whose fragments it is built with; all else of it only if it is the source."""
        return self.recipe or self.fragments


class RecipeSource(_Fetched):
    """The [source] of a recipe."""

    package: Text | None = None
    """A Debian source package, as "linux-source-7.3"; needs `suites`."""
    suites: tuple[Text, ...] | None = None
    """Debian suites, of which the first that has the package is used."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        keys = ("package", "suites", "tarball", "sha256", "git", "ref")
        pairs = {"package": "suites", "tarball": "sha256", "git": "ref"}
        _exactly_one({k: getattr(self, k) for k in keys}, pairs)
        return self


class Fragments(Model):
    """Config fragments on top of tinyconfig, in order; `common` comes before the architecture's."""

    common: tuple[File, ...] = ()
    """Fragments for both architectures."""
    x86_64: tuple[File, ...] = ()
    """Fragments for x86-64; without any the recipe is not for it."""
    arm64: tuple[File, ...] = ()
    """Fragments for arm64; without any the recipe is not for it."""


class KernelRecipe(Model):
    """One kernel.toml: everything that a kernel is built from."""

    version: Text
    """The kernel's version, as the source's own `kernelversion` says it."""
    description: str = ""
    """One line for reports."""
    source: RecipeSource
    """Where the source comes from."""
    fragments: Fragments
    """What is configured on top of tinyconfig."""
    patches: Folder | None = None
    """A folder of patches, applied in the order of their names, or of quilt's `series`."""
    tree: Folder | None = None
    """A folder of files that are copied into the source."""
    checks: tuple[File, ...] = ()
    """Programs in Python that `lab kernel check` runs on the source with patches and files: status
    1 if they find something."""
    series: File | None = None
    """The plan of `lab kernel series`: which files of the tree come behind which patch."""
    cmdline: tuple[KernelWords, ...] = ()
    """Words for the kernel's command line, after the lab's own. The console is never made quieter
    than `loglevel=6`: the verdict rests on what it says."""

    @property
    def origin(self) -> Source:
        """Where the source comes from, as a type to match on."""
        if self.source.package is not None and self.source.suites is not None:
            return FromDebian(package=self.source.package, suites=self.source.suites)
        return self.source._fetched()  # noqa: SLF001 - of the same module

    def fragments_for(self, arch: Arch) -> tuple[Path, ...]:
        """Return the fragments to apply for an architecture.

        Args:
            arch: The architecture.

        Returns:
            The fragments in order; none if the recipe is not for it.
        """
        own: tuple[Path, ...] = getattr(self.fragments, arch)
        return (*self.fragments.common, *own) if own else ()
