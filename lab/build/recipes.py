# SPDX-License-Identifier: Apache-2.0
"""From a kernel's table in lab.toml to a kernel that boots."""

from __future__ import annotations

from lab.build import distribution, kernel, patch_files, prebuilt, source
from lab.build.cache import Cache
from lab.build.kernel import KernelImage
from lab.config import kernels
from lab.config.enums import Arch
from lab.config.kernels import KernelRecipe, KernelSpec
from lab.config.load import load_recipe
from lab.errors import ConfigError
from lab.events import Sink, nowhere


def kernel_for(
    name: str,
    spec: KernelSpec,
    arch: Arch,
    cache: Cache,
    *,
    mirror: str | None = None,
    sink: Sink = nowhere,
) -> KernelImage:
    """Build the kernel called `name`, or find it built.

    Args:
        name: Its name in lab.toml.
        spec: Its table there.
        arch: The architecture.
        cache: Where it is cached.
        mirror: The Debian mirror's URL; that of this machine's apt if None.
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
            wanted = distribution.DebianKernel(
                package=package, version=version, suites=suites, mirror=mirror
            )
            return distribution.take(name, arch, wanted, cache, sink=sink)
        case _:
            recipe = recipe_of(name, spec, arch, mirror=mirror)
            return kernel.build(recipe, arch, cache, sink=sink)


def recipe_of(
    name: str, spec: KernelSpec, arch: Arch, *, mirror: str | None = None
) -> kernel.Recipe:
    """Return all that goes into a kernel: the recipe's own, then what lab.toml adds to it.

    Args:
        name: Its name in lab.toml.
        spec: Its table there.
        arch: The architecture.
        mirror: The Debian mirror's URL; that of this machine's apt if None.

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
        source=_source(spec, written, mirror),
        fragments=(*fragments, *spec.config),
        patches=tuple(patch_files.listed(patches)),
        tree=written.tree if own else None,
        fixes=tuple(patch_files.listed(spec.patches)),
        cmdline=written.cmdline if own else (),
        make=spec.make,
    )


def _source(spec: KernelSpec, written: KernelRecipe, mirror: str | None) -> source.Source:
    origin = spec.source
    if isinstance(origin, kernels.FromRecipe):
        origin = written.origin
    match origin:
        case kernels.FromDebian(package=package, suites=suites):
            return source.DebianSource(
                package=package, suites=suites, version=written.version, mirror=mirror
            )
        case kernels.FromTarball(url=url, sha256=sha256):
            return source.TarballSource(url=url, sha256=sha256)
        case kernels.FromGit(url=url, ref=ref):
            return source.GitSource(url=url, ref=ref)
        case kernels.FromTree(folder=folder):
            return source.TreeSource(path=folder)
        case _:
            raise ConfigError(f"a recipe's source cannot be {origin!r}")
