# SPDX-License-Identifier: Apache-2.0
"""`lab kernel build` and `lab clean`: what is in the cache."""

from __future__ import annotations

from typing import Annotated

import typer

from lab.artifacts.cache import MIB, standard
from lab.cli.settings import Settings, err, out
from lab.cli.telling import telling
from lab.spec.model import Arch
from lab.stand.workshop import Workshop


def register(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    kernel = typer.Typer(no_args_is_help=True, help="Kernels under test.")
    kernel.command("build")(build)
    app.add_typer(kernel, name="kernel")
    app.command()(clean)


def build(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="What lab.toml calls it: [kernel.NAME].")],
    arch: Annotated[Arch, typer.Option(help="For which machine.")] = Arch.X86_64,
) -> None:
    """Build a kernel, or find it built, and say where it is."""
    settings: Settings = ctx.obj
    lab = settings.lab()
    with telling(err, everything=settings.debug) as sink:
        image = Workshop(lab, standard(lab.cache), sink).kernel(name, arch)
    for what, value in (
        ("image", image.image),
        ("vmlinux", image.vmlinux),
        ("config", image.config or "unknown: it was brought ready-made"),
        ("release", image.release),
        ("build id", image.build_id),
        ("source", image.source),
    ):
        out.print(f"{what:9} {value}", markup=False, soft_wrap=True)


def clean(
    ctx: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it.")] = False,
) -> None:
    """Empty the cache of kernels and root file systems; without --yes, say how large it is."""
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
