# SPDX-License-Identifier: Apache-2.0
"""From a kernel's table in lab.toml to a kernel that boots."""

from __future__ import annotations

from lab.build import distribution, kernel, patch_files, prebuilt, source
from lab.build.cache import Cache
from lab.build.kernel import KernelImage
from lab.build.repository import is_remote
from lab.build.supply import Supply
from lab.config import kernels
from lab.config.enums import Arch
from lab.config.kernels import KernelRecipe, KernelSpec
from lab.config.load import load_recipe
from lab.config.lock import Part
from lab.errors import ConfigError
from lab.events import Sink, nowhere


def kernel_for(
    name: str,
    spec: KernelSpec,
    arch: Arch,
    cache: Cache,
    *,
    supply: Supply = Supply(),  # noqa: B008 - frozen
    sink: Sink = nowhere,
) -> KernelImage:
    """Build the kernel called `name`, or find it built.

    Args:
        name: Its name in lab.toml.
        spec: Its table there.
        arch: The architecture.
        cache: Where it is cached.
        supply: Mirrors, and the lock.
        sink: Receives the steps.

    Returns:
        The kernel.

    Raises:
        ConfigError: The kernel that lab.toml or the recipe describes cannot be built.
        UnavailableError: A program that builds kernels is missing.
    """
    match spec.source:
        case kernels.FromImage(file=image, modules=modules):
            return prebuilt.take(name, arch, image, cache, folder=modules, sink=sink)
        case kernels.FromPackageFiles(files=files):
            return prebuilt.of_packages(name, arch, files, cache, sink=sink)
        case kernels.FromPackage(package=package, version=version, suites=suites):
            named = package.replace("{arch}", arch.traits.debian)
            wanted = distribution.DebianKernel(
                package=named,
                version=version,
                suites=suites,
                mirrors=supply.mirrors,
                locked=supply.packages(
                    Part.KERNEL, arch, (named,), suites, version, whose=f"kernel {name}"
                ),
            )
            return distribution.take(name, arch, wanted, cache, sink=sink)
        case _:
            recipe = recipe_of(name, spec, arch, supply=supply)
            return kernel.build(recipe, arch, cache, sink=sink)


def recipe_of(
    name: str,
    spec: KernelSpec,
    arch: Arch,
    *,
    supply: Supply = Supply(),  # noqa: B008 - frozen
) -> kernel.Recipe:
    """Return all that goes into a kernel: the recipe's own, then what lab.toml adds to it.

    Args:
        name: Its name in lab.toml.
        spec: Its table there.
        arch: The architecture.
        supply: Mirrors, and the lock.

    Returns:
        The recipe to build.

    Raises:
        ConfigError: The recipe is wrong, or is not for `arch`.
    """
    written = load_recipe(spec.recipe_folder)
    fragments = written.fragments_for(arch)
    if not fragments:
        raise ConfigError(
            f"{spec.recipe_folder / 'kernel.toml'}: the recipe has no fragments for {arch}",
            hint=f"add under [fragments]: {arch} = ['{arch}.config']",
        )
    own = isinstance(spec.source, kernels.FromRecipe)  # else only its fragments are used
    patches = (written.patches,) if own and written.patches else ()
    return kernel.Recipe(
        name=name,
        source=_source(name, spec, written, supply),
        fragments=(*fragments, *spec.config),
        patches=tuple(patch_files.listed(patches)),
        tree=written.tree if own else None,
        fixes=tuple(patch_files.listed(spec.patches)),
        cmdline=written.cmdline if own else (),
        make=spec.make,
        borrowed=() if own else fragments,
    )


def _source(name: str, spec: KernelSpec, written: KernelRecipe, supply: Supply) -> source.Source:
    whose = f"kernel {name}"
    origin = spec.source
    if isinstance(origin, kernels.FromRecipe):
        origin = written.origin
    match origin:
        case kernels.FromDebian(package=package, suites=suites):
            return source.DebianSource(
                package=package,
                suites=suites,
                version=written.version,
                mirrors=supply.mirrors,
                locked=supply.packages(
                    Part.SOURCE, Arch.X86_64, (package,), suites, written.version, whose=whose
                ),
            )
        case kernels.FromTarball(url=url, sha256=sha256):
            return source.TarballSource(url=url, sha256=sha256)
        case kernels.FromGit(url=url, ref=ref):
            commit = supply.commit_of(url, ref, whose=whose) if is_remote(url) else None
            return source.GitSource(url=url, ref=ref, commit=commit)
        case kernels.FromTree(folder=folder):
            return source.TreeSource(path=folder)
        case _:
            raise ConfigError(f"a recipe's source cannot be {origin!r}")
