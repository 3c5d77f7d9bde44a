# SPDX-License-Identifier: Apache-2.0
"""`lab cache`: what was built, and why; how old it is, and whether whole; carried elsewhere."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from lab.build import cache_bundle, cache_entries
from lab.build.cache import MIB, standard
from lab.build.cache_entries import Entry
from lab.build.cache_keys import differences, nearest
from lab.cli.paths import at_home
from lab.cli.settings import Settings, err, out
from lab.config.model import Arch
from lab.errors import ConfigError
from lab.report.progress import progress_on
from lab.runner.image_store import ImageStore

_HOUR_S, _DAY_S = 3600.0, 86400.0
_MANY = "package"  # of which there are hundreds


def register(app: typer.Typer) -> None:
    """Add these commands.

    Args:
        app: The `lab` command.
    """
    cache = typer.Typer(no_args_is_help=True, help="What was built and fetched.")
    for command in (fill, why, prune, verify, export):
        cache.command()(command)
    cache.command("list")(show)
    cache.command("import")(bring)
    app.add_typer(cache, name="cache")


def show(
    ctx: typer.Context,
    packages: Annotated[
        bool, typer.Option("--packages", help="Each package by itself, too.")
    ] = False,
) -> None:
    """List what is in the cache: key, size, since when it is unused."""
    settings: Settings = ctx.obj
    cache = standard(settings.lab().cache)
    there = cache_entries.entries(cache)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("key", "MiB", "unused for", "what"):
        table.add_column(name, justify="right" if name in {"MiB", "unused for"} else "left")
    for entry in there:
        if packages or entry.kind != _MANY:
            table.add_row(entry.name, _mib(entry.size), _ago(entry.idle_s), entry.what)
    rest = [entry for entry in there if entry.kind == _MANY]
    if rest and not packages:
        idle = min(entry.idle_s for entry in rest)
        size = _mib(sum(entry.size for entry in rest))
        table.add_row(f"{_MANY}/*", size, _ago(idle), f"{len(rest)} packages, as they came")
    if there:
        out.print(table)
    _line(f"{cache.root}: {len(there)} artifacts, {cache.size() // MIB} MiB on the disk in all")


def fill(
    ctx: typer.Context,
    kernels: Annotated[
        list[str], typer.Argument(help="Kernels of lab.toml: what hosts on them boot is made.")
    ],
    arch: Annotated[Arch, typer.Option(help="The architecture.")] = Arch.X86_64,
) -> None:
    """Make all that hosts boot, so that runs on these kernels need no network.

    Exit status: 125 if what lab.lock names has left the mirrors.
    """
    settings: Settings = ctx.obj
    lab = settings.lab()
    with progress_on(err, everything=settings.debug) as sink:
        images = ImageStore(lab, standard(lab.cache), sink)
        for name in kernels:
            images.outfit(name, arch)
    _line(f"{images.cache.root}: hosts on {', '.join(kernels)} for {arch} need no network")


def why(
    ctx: typer.Context,
    key: Annotated[str, typer.Argument(help="Its key or the beginning of it, as 'list' shows it.")],
) -> None:
    """Show what went into an artifact, and what differs from the nearest other of its kind."""
    settings: Settings = ctx.obj
    entry = cache_entries.find(standard(settings.lab().cache), key)
    _line(f"{entry.name}: {entry.what}")
    _line(f"made {entry.facts.get('made')}, which took {entry.facts.get('seconds')} s")
    for line in differences({}, entry.facts["inputs"]):
        _line(f"  {line.replace(': added, ', ': ', 1)}")
    other = nearest(entry.path.parent, entry.facts["inputs"])
    if other is None:
        _line("there is no other of its kind")
        return
    path, facts = other
    _line(f"the nearest other is {entry.kind}/{path.name}: {facts.get('what')}, {facts['made']}")
    for line in differences(facts["inputs"], entry.facts["inputs"]):
        _line(f"  {line}")


def prune(
    ctx: typer.Context,
    days: Annotated[
        float | None, typer.Option("--days", min=0, help="Remove what is unused for so long.")
    ] = None,
    mib: Annotated[
        int | None,
        typer.Option("--mib", min=0, help="Remove the longest unused until so many MiB are left."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove it.")] = False,
) -> None:
    """Remove what is old, or too much; without --yes, print what would go.

    What was used within the last hour stays, and so does what is being built.
    """
    settings: Settings = ctx.obj
    if days is None and mib is None:
        raise ConfigError(
            "nothing says what is to go", hint="type: lab cache prune --days 30, or --mib 5000"
        )
    cache = standard(settings.lab().cache)
    chosen = cache_entries.to_prune(
        cache_entries.entries(cache),
        idle_s=None if days is None else days * _DAY_S,
        keep_bytes=None if mib is None else mib * MIB,
    )
    gone = [entry for entry in chosen if not yes or cache.discard(entry.path)]
    for kind, of_kind in _by_kind(gone).items():
        names = ", ".join(entry.path.name for entry in of_kind[:3])
        more = f" and {len(of_kind) - 3} more" if len(of_kind) > 3 else ""  # noqa: PLR2004 - shown
        _line(f"{kind}: {names}{more}: {_mib(sum(entry.size for entry in of_kind))} MiB")
    total = _mib(sum(entry.size for entry in gone))
    done = "removed" if yes else "would remove"
    _line(f"{done} {len(gone)} artifacts, {total} MiB, from {cache.root}")
    if gone and not yes:
        _line("to remove them, type the same with --yes")


def verify(
    ctx: typer.Context,
    repair: Annotated[
        bool, typer.Option("--repair", help="Remove what is damaged: it is made anew when needed.")
    ] = False,
) -> int:
    """Compare every artifact with what it was when it was made.

    Exit status: 0 if all are as they were, 1 if one is not.
    """
    settings: Settings = ctx.obj
    cache = standard(settings.lab().cache)
    there, damaged = cache_entries.entries(cache), 0
    for entry in there:
        wrong = cache_entries.damage(entry)
        if wrong is None:
            continue
        damaged += 1
        removed = repair and cache.discard(entry.path)
        _line(f"{entry.name} ({entry.what}): {wrong}{'; removed' if removed else ''}")
    _line(f"{cache.root}: {len(there)} artifacts, {damaged} damaged")
    if damaged and not repair:
        _line("to remove what is damaged, type: lab cache verify --repair")
    return int(damaged > 0)


def export(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(callback=at_home, help="The file to write.")],
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", help="Only artifacts of this kind; may be repeated."),
    ] = None,
) -> None:
    """Write the cache into a file, to carry it to a machine without a network."""
    settings: Settings = ctx.obj
    cache = standard(settings.lab().cache)
    there = cache_entries.entries(cache)
    kinds = sorted({entry.kind for entry in there})
    for wanted in kind or ():
        if wanted not in kinds:
            raise ConfigError(
                f"--kind: cache '{cache.root}' has nothing of kind {wanted!r}",
                hint=f"there are: {', '.join(kinds) or 'none'}",
            )
    chosen = [entry for entry in there if not kind or entry.kind in kind]
    cache_bundle.export(cache, chosen, file)
    _line(f"{file}: {len(chosen)} artifacts, {file.stat().st_size // MIB} MiB")
    _line(f"on the other machine, type: lab cache import {file.name}")


def bring(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(callback=at_home, help="What 'lab cache export' wrote.")],
) -> None:
    """Read an exported cache; what this one has already stays as it is."""
    settings: Settings = ctx.obj
    cache = standard(settings.lab().cache)
    came, there = cache_bundle.bring(cache, file)
    _line(f"{cache.root}: {came} artifacts came, {there} were there")


def _by_kind(gone: list[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = defaultdict(list)
    for entry in gone:
        found[entry.kind].append(entry)
    return found


def _mib(size: int) -> str:
    return f"{size / MIB:.1f}" if size < 10 * MIB else str(size // MIB)


def _ago(seconds: float) -> str:
    if seconds < _HOUR_S:
        return f"{seconds / 60:.0f} min"
    if seconds < 2 * _DAY_S:
        return f"{seconds / _HOUR_S:.0f} h"
    return f"{seconds / _DAY_S:.0f} days"


def _line(text: str) -> None:
    out.print(text, markup=False, soft_wrap=True)
