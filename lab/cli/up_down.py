# SPDX-License-Identifier: Apache-2.0
"""`lab up`, `lab down` and `lab status`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from lab import data
from lab.cli.offline import Offline
from lab.cli.settings import DEFAULT_TOPOLOGIES, Settings, err, out
from lab.config.load import uncompiled, with_hosts_on
from lab.config.model import Accel
from lab.doctor.examine import insist
from lab.record.labels import seconds
from lab.report.progress import progress_on
from lab.standing.inventory import RUNNING, Survey, surveyed, uptime_s
from lab.standing.registry import StandingHost
from lab.standing.up_down import raise_topology, take_down

_KVM_NOTE = (
    "note: this lab was built where KVM ran no guests, so its KVM path is new ground: "
    "please compare a cell with --accel=tcg"
)


def register(app: typer.Typer) -> None:
    """Add these commands.

    Args:
        app: The `lab` command.
    """
    app.command()(up)
    app.command()(down)
    app.command()(status)


def up(
    ctx: typer.Context,
    topologies: Annotated[
        list[str] | None,
        typer.Argument(help=f"Names or paths; without them, {' and '.join(DEFAULT_TOPOLOGIES)}."),
    ] = None,
    kernel: Annotated[
        str | None,
        typer.Option(
            help="A kernel of lab.toml for hosts of 'stock'; without it and without names, "
            "'debian', which is not compiled."
        ),
    ] = None,
    offline: Offline = False,  # noqa: ARG001 - its callback has done it
) -> None:
    """Build what is missing, boot the hosts of topologies, and leave them standing."""
    settings: Settings = ctx.obj
    lab = settings.lab()
    chosen = [settings.topology(name, lab) for name in topologies or DEFAULT_TOPOLOGIES]
    if kernel is None and not topologies:
        kernel = uncompiled(lab)
    if kernel is not None:
        chosen = [with_hosts_on(each, kernel, lab) for each in chosen]
    insist(lab)
    hosts: list[StandingHost] = []
    for wanted in chosen:
        with progress_on(err, everything=settings.debug) as sink:
            made, stood = raise_topology(lab, wanted, sink)
        if stood:
            out.print(f"{wanted.name} stands already", markup=False)
        hosts.extend(made)
    out.print(_table(hosts))
    for reason in sorted({f"{h.accel.value.upper()} because {h.why}" for h in hosts}):
        out.print(reason, markup=False, soft_wrap=True)
    if any(host.accel is Accel.KVM for host in hosts):
        out.print(_KVM_NOTE, markup=False, soft_wrap=True)
    activate = "" if data.INSTALLED else ". .venv/bin/activate; "
    out.print(f"\nnext: {activate}pytest topologies", markup=False)


def down(ctx: typer.Context) -> None:
    """Remove standing hosts and leftovers of killed runs; never what a run is using."""
    settings: Settings = ctx.obj
    with progress_on(err, everything=settings.debug) as sink:
        removed = take_down(settings.lab(), sink)
    if not removed:
        out.print("nothing was standing, and nothing was left behind")


def status(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List standing hosts, machines of runs in progress, and leftovers of killed runs."""
    settings: Settings = ctx.obj
    with surveyed(settings.lab()) as found:
        told = _told(found)
        if as_json:
            typer.echo(json.dumps(told, indent=1))
            return
        if found.blind and found.standing:
            out.print(f"libvirt does not answer: {found.blind}", markup=False, soft_wrap=True)
        if found.standing:
            out.print(_table((h for h, _ in found.standing), told["standing"]))
        else:
            out.print("nothing is standing; to boot hosts, type: lab up", markup=False)
        for machine in found.at_work:
            owner = f"run {machine.run_id}, process {machine.owner.pid}"
            out.print(f"in use: {machine.name} ({owner})", markup=False)
        for leftover in found.leftovers:
            out.print(f"left behind: {leftover}", markup=False, soft_wrap=True)
        if found.leftovers:
            out.print("to remove it, type: lab down", markup=False)


def _told(found: Survey) -> dict[str, list[dict[str, object]]]:
    return {
        "standing": [
            {
                **host.model_dump(mode="json"),
                "state": word,
                "uptime_s": uptime_s(host) if word == RUNNING else None,
            }
            for host, word in found.standing
        ],
        "at_work": [
            {"domain": m.name, "run_id": m.run_id, "topology": m.topology, "pid": m.owner.pid}
            for m in found.at_work
        ],
        "left_behind": [{"what": what, "remedy": "lab down"} for what in found.leftovers],
    }


def _table(hosts: Iterable[StandingHost], told: Iterable[dict[str, object]] | None = None) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("host", "kernel", "mode", "accelerator", "port", "state", "get in", "look on"):
        table.add_column(name, overflow="fold")
    states = [_state(facts) for facts in told] if told is not None else []
    for i, host in enumerate(hosts):
        since = seconds((datetime.now(UTC) - host.since).total_seconds())
        table.add_row(
            host.role,
            f"{host.kernel} {host.release}",
            host.mode.value,
            f"{host.accel.value} ({host.arch.value})",
            str(host.port),
            states[i] if states else f"up for {since}",
            f"lab ssh {host.role}",
            f"lab console {host.role}",
        )
    return table


def _state(facts: dict[str, object]) -> str:
    uptime = facts["uptime_s"]
    if facts["state"] != RUNNING:
        return str(facts["state"])
    if isinstance(uptime, float):
        return f"up for {seconds(uptime)}"
    return "running, but SSH is silent"
