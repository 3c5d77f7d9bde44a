# SPDX-License-Identifier: Apache-2.0
"""One run of the lab on this machine: its identity, its libvirt, what it builds and keeps."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property

from lab.build.cache import standard
from lab.config.model import Accel, Arch, HostSpec, LabConfig
from lab.events import Sink, nowhere
from lab.host.host import Blueprint
from lab.resources.admission import Admission, Machine
from lab.resources.ledger import state_dir
from lab.resources.run_folders import RunFolder, new_run_folder
from lab.runner.host_request import HostRequest
from lab.runner.image_store import Workshop
from lab.signals import whole
from lab.virt.connection import Connection, connect, uri_for
from lab.virt.daemons import ensure_daemons
from lab.virt.probe import AccelChoice, Tiny, probe_accelerator
from lab.virt.tsc import tsc_khz

# Not models of libvirt's, but all that QEMU or the processor has: modes, which the XML knows.
_WHOLE_CPU = frozenset({"max", "host-passthrough"})


class Stand:
    """What all machines of one run have in common. Nothing is opened before it is asked for."""

    def __init__(self, lab: LabConfig, stack: ExitStack, sink: Sink, run_id: str) -> None:
        self.run_id = run_id
        self.lab = lab
        self.sink = sink
        self.state = state_dir(lab.state)
        self.workshop = Workshop(lab, standard(lab.cache), sink)
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
            outfit = self.workshop.outfit(self.lab.kernel_for("stock"), arch)
            tiny = Tiny(outfit.kernel.image, outfit.initrd)
            self.accelerators[arch] = probe_accelerator(
                self.connection, arch, tiny, self.state, self.sink, wanted=wanted
            )
        return self.accelerators[arch]

    def blueprint(self, wish: HostRequest, role: str) -> Blueprint:
        """Give what the host that `wish` describes is made from, under the name `role`."""
        outfit = self.workshop.outfit(wish.kernel, wish.arch)
        through = self.lab.kernel_for(wish.through) if wish.through else ""
        accel = self.accelerator(wish.arch).accel
        models = self.lab.host.cpu_model
        model = models.kvm if accel is Accel.KVM else models.tcg
        return Blueprint(
            run_id=self.run_id,
            topology=wish.topology,
            role=role,
            spec=HostSpec(arch=wish.arch, kernel=wish.kernel, mode=wish.mode),
            vcpus=wish.vcpus,
            memory_mib=wish.memory_mib,
            kernel=outfit.kernel,
            through=self.workshop.kernel(through, wish.arch) if through else None,
            initrd=outfit.initrd,
            disks=outfit.disks,
            accel=accel,
            cpu_model=None if model in _WHOLE_CPU else model,
            folder=self.folder.path / role,
            state=self.state,
            patience=self.lab.patience,
            words=(*outfit.words, *self._clock(accel, wish.arch)),
        )

    @staticmethod
    def _clock(accel: Accel, arch: Arch) -> tuple[str, ...]:
        khz = tsc_khz() if accel is Accel.TCG and arch is Arch.X86_64 else None
        return (f"tsc_early_khz={khz}",) if khz else ()


@contextmanager
def opened(lab: LabConfig, sink: Sink = nowhere, *, run_id: str | None = None) -> Iterator[Stand]:
    """Begin a run; what it opened and made is closed and removed at the end of the block."""
    with ExitStack() as stack:
        yield Stand(lab, stack, sink, run_id or secrets.token_hex(3))
