# SPDX-License-Identifier: Apache-2.0
"""`lab kernel build` and `lab clean`: the cache of images."""

from __future__ import annotations

from typing import Annotated

import typer

from lab.build.cache import MIB, standard
from lab.cli import recipe
from lab.cli.settings import Settings, err, out
from lab.config.model import Arch
from lab.report.progress import progress_on
from lab.runner.image_store import ImageStore


def register(app: typer.Typer) -> None:
    """Add these commands.

    Args:
        app: The `lab` command.
    """
    kernel = typer.Typer(no_args_is_help=True, help="Kernels under test.")
    kernel.command("build")(build)
    kernel.command("each-patch")(recipe.each_patch)
    kernel.command("check")(recipe.check)
    kernel.command("series")(recipe.series)
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
