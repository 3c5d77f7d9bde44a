# SPDX-License-Identifier: Apache-2.0
"""`lab kernel build`, `lab kernel each-patch` and `lab clean`: the cache of images."""

from __future__ import annotations

from typing import Annotated

import typer

from lab.build import series
from lab.build.cache import MIB, standard
from lab.build.recipes import recipe_of
from lab.build.supply import Supply
from lab.cli.progress import progress_on
from lab.cli.settings import Settings, err, out
from lab.config.model import Arch, Prebuilt
from lab.errors import ConfigError
from lab.runner.image_store import ImageStore


def register(app: typer.Typer) -> None:
    """Add these commands.

    Args:
        app: The `lab` command.
    """
    kernel = typer.Typer(no_args_is_help=True, help="Kernels under test.")
    kernel.command("build")(build)
    kernel.command("each-patch")(each_patch)
    app.add_typer(kernel, name="kernel")
    app.command()(clean)


def build(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Its name in lab.toml: [kernel.NAME].")],
    arch: Annotated[Arch, typer.Option(help="The architecture.")] = Arch.X86_64,
) -> None:
    """Build a kernel unless it is cached, and print where it is."""
    settings: Settings = ctx.obj
    lab = settings.lab()
    with progress_on(err, everything=settings.debug) as sink:
        image = ImageStore(lab, standard(lab.cache), sink).kernel(name, arch)
    for what, value in (
        ("image", image.image),
        ("vmlinux", image.vmlinux),
        ("config", image.config or "unknown: the image was brought ready-made"),
        ("release", image.release),
        ("build id", image.build_id),
        ("source", image.source),
    ):
        out.print(f"{what:9} {value}", markup=False, soft_wrap=True)


def each_patch(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Its name in lab.toml: [kernel.NAME].")],
    arch: Annotated[Arch, typer.Option(help="The architecture.")] = Arch.X86_64,
) -> int:
    """Build a kernel after each of its patches, and list those that do not build.

    Exit status: 0 if all of them build, 1 if one does not.
    """
    settings: Settings = ctx.obj
    lab = settings.lab()
    if name not in lab.kernel:
        raise ConfigError(
            f"lab.toml: no kernel {name!r}", hint=f"there are: {', '.join(lab.kernel)}"
        )
    spec = lab.kernel[name]
    if isinstance(spec.source, Prebuilt):
        raise ConfigError(
            f"kernel {name!r} was built elsewhere, and has no patches",
            hint="name a kernel that is built from source",
        )
    bad = False
    with progress_on(err, everything=settings.debug) as sink:
        recipe = recipe_of(name, spec, arch, supply=Supply.of(lab))
        for step in series.each(recipe, arch.value, standard(lab.cache), sink=sink):
            bad = bad or bool(step.complaints)
            how = "does not build" if step.complaints else "builds"
            text = f"{step.step}: {how} ({step.objects} objects, {step.seconds:.0f} s)"
            out.print("\n  ".join([text, *step.complaints]), markup=False, soft_wrap=True)
    return int(bad)


def clean(
    ctx: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove it.")] = False,
) -> None:
    """Empty the cache of kernels and root file systems; without --yes, print its size."""
    cache = standard(ctx.obj.lab().cache)
    size = cache.size() // MIB
    if size == 0:
        out.print(f"{cache.root} is empty", markup=False, soft_wrap=True)
    elif yes:
        freed = cache.clear() // MIB
        out.print(f"removed {freed} MiB from {cache.root}", markup=False, soft_wrap=True)
    else:
        out.print(
            f"{cache.root} holds {size} MiB, which take some 10 minutes to build again; "
            "to remove them, type: lab clean --yes",
            markup=False,
            soft_wrap=True,
        )
