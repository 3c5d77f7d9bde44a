# SPDX-License-Identifier: Apache-2.0
"""Bringing up a topology so that it outlives this command, and taking it down again."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from pathlib import Path

from lab.config.model import LabConfig, Topology
from lab.deadline import Deadline
from lab.errors import ConfigError, InfraError
from lab.events import Sink, Step
from lab.host.host import boot
from lab.resources.ledger import flocked, state_dir
from lab.resources.owner import Owner
from lab.resources.run_folders import RunFolder
from lab.runner.lab_session import LabSession
from lab.standing.inventory import RUNNING, UNKNOWN, Survey, surveyed
from lab.standing.registry import StandingHost, StandingHosts, as_standing
from lab.virt.connection import uri_for
from lab.virt.daemons import ensure_daemons, stop_what_we_started

_ROOM_S = 600.0  # how long to wait for memory that others have


def raise_topology(
    lab: LabConfig, topology: Topology, sink: Sink
) -> tuple[tuple[StandingHost, ...], bool]:
    """Bring up every host of a topology, if they do not stand already.

    Args:
        lab: The lab.
        topology: Its hosts are booted; its cells are not looked at.
        sink: Is told of each step.

    Returns:
        The hosts, and whether they stood before.

    Raises:
        ConfigError: They stand on other kernels.
        InfraError: A host did not come up; then none is left behind. Or libvirt cannot be asked.
        UnavailableError: A host cannot be in its mode here.
    """
    state = state_dir(lab.state)
    by = Deadline.after(lab.patience.build)
    with flocked(state / "up.flock", "another 'lab up' to be done", by):
        ensure_daemons(uri_for(lab.libvirt.uris[0]), state, sink)
        with surveyed(lab, sink) as found:
            if found.blind:
                raise InfraError(found.blind, hint="type: lab doctor")
            there = _standing_already(found, lab, topology, sink)
            for leftover in found.leftovers:
                sink(Step(what=f"left over: {leftover}; 'lab down' removes it"))
        if there:
            return there, True
        return _raise(lab, topology, sink), False


def take_down(lab: LabConfig, sink: Sink) -> tuple[str, ...]:
    """Remove what stands and what was left behind, and nothing else.

    Args:
        lab: The lab.
        sink: Is told of each thing that is removed, and of what stays.

    Returns:
        What was removed, as "host a (lab-7f3a-a, port 40022)".

    Raises:
        InfraError: libvirt cannot be asked what is left.
        LabError: Something could not be removed; the rest may still be there.
    """
    state = state_dir(lab.state)
    removed: list[str] = []

    def gone(what: str) -> None:
        removed.append(what)
        sink(Step(what=f"removed {what}"))

    with surveyed(lab, sink, wake=True) as found:
        if found.blind and (found.standing or found.folders):
            raise InfraError(f"cannot see what is left: {found.blind}", hint="type: lab doctor")
        for host, word in found.standing:
            if word == UNKNOWN:
                sink(Step(what=f"{host.role} stays: it is at {host.uri}, which lab.toml lacks"))
                continue
            _remove_host(host, found, state)
            gone(f"host {host.role} ({host.domain}, port {host.port})")
        for machine in found.abandoned:
            machine.remove()
            gone(f"machine {machine.name}, left behind by process {machine.owner.pid}")
        for folder in found.folders:
            folder.remove()
            gone(f"folder {folder.path}, left behind by a lab that was killed")
        for log in _dead_probes(state):
            log.unlink(missing_ok=True)
            gone(f"file {log}, left behind by a lab that was killed")
        for machine in found.at_work:
            sink(Step(what=f"{machine.name} stays: process {machine.owner.pid} is at work on it"))
    stop_what_we_started(state, sink)
    return tuple(removed)


def _standing_already(
    found: Survey, lab: LabConfig, topology: Topology, sink: Sink
) -> tuple[StandingHost, ...]:
    """Return the hosts of a topology if each of them runs; else remove those that there are."""
    state = state_dir(lab.state)
    mine = [(host, word) for host, word in found.standing if host.topology == topology.name]
    running = {host.role: host for host, word in mine if word == RUNNING}
    if running.keys() >= topology.hosts.keys():
        for role, spec in topology.hosts.items():
            if (is_on := running[role].kernel) != (wanted := lab.kernel_for(spec.kernel)):
                raise ConfigError(
                    f"host {role} of {topology.name} stands on kernel {is_on!r}, not {wanted!r}",
                    hint="to take it down first, type: lab down",
                )
        return tuple(host for host, _ in mine)
    for host, word in mine:
        sink(Step(what=f"{host.role} of an earlier 'lab up' is {word}: removing what it left"))
        _remove_host(host, found, state)
    return ()


def _remove_host(host: StandingHost, found: Survey, state: Path) -> None:
    """Remove one host; its record goes last, so that this can be done again if it is killed."""
    machine = found.machines.get(host.domain)
    if machine is not None:
        machine.remove()
    others = [h for h in StandingHosts(state).hosts() if h.domain != host.domain]
    if not any(h.run_id == host.run_id for h in others):
        RunFolder(host.folder, None).remove()
    StandingHosts(state).remove([host.domain])


def _raise(lab: LabConfig, topology: Topology, sink: Sink) -> tuple[StandingHost, ...]:
    with ExitStack() as undo:
        lab_session = LabSession(lab, undo, sink, secrets.token_hex(3))
        requests = [
            lab.host_request(topology.name, role, spec) for role, spec in topology.hosts.items()
        ]
        door, what = lab_session.admission, f"topology {topology.name}"
        memory = sum(request.memory_mib for request in requests)
        cores = max(door.cores_for(r.vcpus, overcommit=r.overcommit) for r in requests)
        door.must_fit(memory, cores, what)  # said before anything is built
        for request in requests:
            lab_session.images.outfit(request.kernel, request.arch)
        room = door.admit(memory, cores, Deadline.after(_ROOM_S), what=what)
        if others := door.holders():
            sink(Step(what=f"in use: {', '.join(others)}; if there is no room beside, this waits"))
        with room:
            blueprints = [lab_session.blueprint(request, request.role) for request in requests]
            hosts = [
                boot(undo, lab_session.connection, blueprint, sink) for blueprint in blueprints
            ]
        made = tuple(as_standing(host, lab_session) for host in hosts)
        standing = StandingHosts(lab_session.state)
        undo.callback(standing.remove, [host.domain for host in made])
        standing.add(made)
        undo.pop_all()  # from here on they stand; sessions end with this process
    return made


def _dead_probes(state: Path) -> list[Path]:
    """List the consoles of probes for KVM whose process is gone; their machines are leftovers."""
    logs = []
    for log in sorted(state.glob("probe-*.log")):
        pid = log.stem.removeprefix("probe-")
        if pid.isdecimal() and not _alive(int(pid)):
            logs.append(log)
    return logs


def _alive(pid: int) -> bool:
    try:
        return Owner.of(pid).alive
    except ProcessLookupError:
        return False
