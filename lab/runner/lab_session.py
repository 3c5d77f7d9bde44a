# SPDX-License-Identifier: Apache-2.0
"""One run of the lab on this machine: its identity, its libvirt, what it builds and keeps."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property

from lab.build.cache import standard
from lab.config.host_request import HostRequest
from lab.config.model import Arch, LabConfig
from lab.events import Sink, nowhere
from lab.host.blueprint import Blueprint
from lab.resources.admission import Admission, Machine
from lab.resources.ledger import state_dir
from lab.resources.run_folders import RunFolder, new_run_folder
from lab.runner.blueprints import blueprint_of
from lab.runner.image_store import ImageStore
from lab.signals import whole
from lab.virt.connection import Connection, connect, uri_for
from lab.virt.daemons import ensure_daemons
from lab.virt.probe import AccelChoice, Tiny, probe_accelerator
from lab.virt.tsc import clock_words


class LabSession:
    """What all machines of one run have in common. Nothing is opened before it is asked for."""

    def __init__(self, lab: LabConfig, stack: ExitStack, sink: Sink, run_id: str) -> None:
        self.run_id = run_id
        self.lab = lab
        self.sink = sink
        self.state = state_dir(lab.state)
        self.images = ImageStore(lab, standard(lab.cache), sink)
        self._stack = stack
        self._kept = False
        self.accelerators: dict[Arch, AccelChoice] = {}
        machine = Machine.here(lab.budget.memory_mib, lab.budget.cores)
        self.admission = Admission(self.state, machine)

    @cached_property
    def connection(self) -> Connection:
        """The libvirt of this run; its daemons are started where nothing else does that."""
        uri = uri_for(self.lab.libvirt.uris[0])
        ensure_daemons(uri, self.state, self.sink)
        return self._stack.enter_context(connect(uri, self.sink, fixes=self.lab.libvirt.errata))

    @cached_property
    def folder(self) -> RunFolder:
        """This run's folder of secrets and consoles; the run's end removes it."""
        user = self.connection.qemu_user()
        with whole():
            folder = new_run_folder(self.state, self.run_id, user)
            self._stack.callback(self._end_folder, folder)
        return folder

    def keep_folder(self) -> None:
        """Let this run's folder stay when the run ends: a host of it is going to stand."""
        self._kept = True

    def _end_folder(self, folder: RunFolder) -> None:
        if not self._kept:
            folder.remove()

    def accelerator(self, arch: Arch) -> AccelChoice:
        """Say what L1s of `arch` run on here, and why; found out by running one."""
        if arch not in self.accelerators:
            wanted = self.lab.host.accelerator
            outfit = self.images.outfit(self.lab.kernel_for("stock"), arch)
            tiny = Tiny(outfit.kernel.image, outfit.initrd)
            self.accelerators[arch] = probe_accelerator(
                self.connection, arch, tiny, self.state, self.sink, wanted=wanted
            )
        return self.accelerators[arch]

    def blueprint(self, request: HostRequest, role: str) -> Blueprint:
        """Return what the host that was asked for is made from, built where nobody has.

        Args:
            request: What was asked for.
            role: What this machine is called.
        """
        through = self.lab.kernel_for(request.through) if request.through else ""
        accel = self.accelerator(request.arch).accel
        return blueprint_of(
            self.lab,
            request,
            role,
            run_id=self.run_id,
            outfit=self.images.outfit(request.kernel, request.arch),
            through=self.images.kernel(through, request.arch) if through else None,
            accel=accel,
            clock=clock_words(accel, request.arch),
            folder=self.folder.path,
            state=self.state,
        )


@contextmanager
def opened(
    lab: LabConfig, sink: Sink = nowhere, *, run_id: str | None = None
) -> Iterator[LabSession]:
    """Begin a run; what it opened and made is closed and removed at the end of the block."""
    with ExitStack() as stack:
        yield LabSession(lab, stack, sink, run_id or secrets.token_hex(3))
