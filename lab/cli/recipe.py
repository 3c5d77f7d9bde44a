# SPDX-License-Identifier: Apache-2.0
"""`lab kernel each-patch`, `check` and `series`: what a recipe is made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from lab.build import posting, static_check
from lab.build import series as patch_by_patch
from lab.build.cache import standard
from lab.build.kernel import Recipe
from lab.build.recipes import recipe_of
from lab.build.source import fetch
from lab.build.supply import Supply
from lab.cli.paths import at_home
from lab.cli.settings import Settings, err, out
from lab.config.kernels import FromRecipe, KernelRecipe, KernelSpec
from lab.config.load import load_recipe, read
from lab.config.model import Arch, Prebuilt
from lab.config.posting import SeriesPlan
from lab.errors import ConfigError
from lab.report.progress import progress_on


def each_patch(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Its name in lab.toml: [kernel.NAME].")],
    arch: Annotated[Arch, typer.Option(help="The architecture.")] = Arch.X86_64,
) -> int:
    """Build a kernel after each of its patches, and list those that do not build.

    Exit status: 0 if all of them build, 1 if one does not.
    """
    settings: Settings = ctx.obj
    recipe = _recipe(settings, name, arch)
    with progress_on(err, everything=settings.debug) as sink:
        steps = patch_by_patch.each(recipe, arch.value, standard(settings.lab().cache), sink=sink)
        return _printed(steps)


def check(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Its name in lab.toml: [kernel.NAME].")],
    arch: Annotated[Arch, typer.Option(help="The architecture.")] = Arch.X86_64,
) -> int:
    """Run a recipe's checks on its source, with its patches and files; nothing is built.

    Exit status: 0 if they find nothing, 1 if one does.
    """
    settings: Settings = ctx.obj
    checks = _written(settings, name).checks
    if not checks:
        raise ConfigError(
            f"the recipe of kernel {name!r} has no checks", hint="'checks' in its kernel.toml"
        )
    bad = False
    with progress_on(err, everything=settings.debug) as sink:
        recipe, cache = _recipe(settings, name, arch), standard(settings.lab().cache)
        for done in static_check.run(recipe, checks, cache, sink=sink):
            bad = bad or not done.good
            how = "nothing found" if done.good else "found"
            text = "\n  ".join([f"{done.check}: {how}", *done.lines])
            out.print(text, markup=False, soft_wrap=True)
    return int(bad)


def series(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Its name in lab.toml: [kernel.NAME].")],
    folder: Annotated[
        Path,
        typer.Option("--out", callback=at_home, help="An empty folder; made if it is not there."),
    ],
    arch: Annotated[Arch, typer.Option(help="The architecture.")] = Arch.X86_64,
    build: Annotated[
        bool,
        typer.Option(
            "--build", help="Build after each commit, with the recipe's options off, then on."
        ),
    ] = False,
) -> int:
    """Write a recipe's patches and files as mails that `git am` takes.

    Exit status: 0, or 1 if a commit does not build.
    """
    settings: Settings = ctx.obj
    plan = _written(settings, name).series
    if plan is None:
        raise ConfigError(
            f"the recipe of kernel {name!r} has no plan of a series",
            hint="'series' in its kernel.toml names it",
        )
    recipe, cache = _recipe(settings, name, arch), standard(settings.lab().cache)
    with progress_on(err, everything=settings.debug) as sink:
        source = fetch(recipe.source, cache, sink)
        planned = read(plan, SeriesPlan)
        mails = posting.write(source.path, recipe.patches, recipe.tree, planned, folder)
        text = f"{len(mails)} mails in {folder}, for git am onto {source.name}"
        out.print(text, markup=False, soft_wrap=True)
        if not build:
            return 0
        posted = replace(recipe, patches=tuple(mails), tree=None)
        steps = patch_by_patch.each(posted, arch.value, cache, both=True, sink=sink)
        return _printed(steps)


def _printed(steps: Iterable[patch_by_patch.Built]) -> int:
    bad = False
    for step in steps:
        bad = bad or bool(step.complaints)
        how = "does not build" if step.complaints else "builds"
        text = f"{step.step}: {how} ({step.objects} objects, {step.seconds:.0f} s)"
        out.print("\n  ".join([text, *step.complaints]), markup=False, soft_wrap=True)
    return int(bad)


def _spec(settings: Settings, name: str) -> KernelSpec:
    kernels = settings.lab().kernel
    if name not in kernels:
        raise ConfigError(f"lab.toml: no kernel {name!r}", hint=f"there are: {', '.join(kernels)}")
    if isinstance(kernels[name].source, Prebuilt):
        raise ConfigError(
            f"kernel {name!r} was built elsewhere, and has no patches",
            hint="name a kernel that is built from source",
        )
    return kernels[name]


def _recipe(settings: Settings, name: str, arch: Arch) -> Recipe:
    return recipe_of(name, _spec(settings, name), arch, supply=Supply.of(settings.lab()))


def _written(settings: Settings, name: str) -> KernelRecipe:
    source = _spec(settings, name).source
    if not isinstance(source, FromRecipe):
        raise ConfigError(
            f"kernel {name!r} has another source than its recipe's",
            hint="name a kernel whose table has 'recipe' only",
        )
    return load_recipe(source.folder)
