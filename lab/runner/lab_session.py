# SPDX-License-Identifier: Apache-2.0
"""One run of the lab on this machine: its id, its libvirt connection, its images, its folder."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property

from lab.build.cache import standard
from lab.config.host_request import HostRequest
from lab.config.model import Arch, LabConfig
from lab.errors import UnavailableError
from lab.events import Sink, nowhere
from lab.host.blueprint import Blueprint
from lab.host.needs import cpu_lacks
from lab.resources.admission import Admission, Machine
from lab.resources.ledger import state_dir
from lab.resources.run_folders import RunFolder, new_run_folder
from lab.runner.blueprints import blueprint_of, cpu_of_hosts
from lab.runner.image_store import ImageStore
from lab.signals import whole
from lab.virt.connection import Connection, connect, uri_for
from lab.virt.cpu_model import properties
from lab.virt.daemons import ensure_daemons
from lab.virt.probe import AccelChoice, Tiny, probe_accelerator
from lab.virt.tsc import clock_words


class LabSession:
    """What all machines of one run have in common. Nothing is opened before it is asked for.

    Args:
        lab: The lab.
        stack: Closing it closes and removes what the run opened and made.
        sink: Is told of each step.
        run_id: The run's id, which is in the name of everything that it makes.

    Attributes:
        state: The lab's state folder.
        images: Builds what hosts boot.
        accelerators: What hosts of each architecture run on, as far as that was probed.
        admission: Admits hosts by this machine's memory and cores.

    Raises:
        ConfigError: The cache or the state folder cannot be made, or QEMU's user cannot enter it.
    """

    def __init__(self, lab: LabConfig, stack: ExitStack, sink: Sink, run_id: str) -> None:
        self.run_id = run_id
        self.lab = lab
        self.sink = sink
        self.state = state_dir(lab.state)
        self.images = ImageStore(lab, standard(lab.cache), sink)
        self._stack = stack
        self._kept = False
        self._models: dict[tuple[Arch, str], Mapping[str, object]] = {}
        self.accelerators: dict[Arch, AccelChoice] = {}
        machine = Machine.here(lab.budget.memory_mib, lab.budget.cores)
        self.admission = Admission(self.state, machine)

    @cached_property
    def connection(self) -> Connection:
        """The libvirt connection of this run; without a service manager its daemons are started."""
        uri = uri_for(self.lab.libvirt.uris[0])
        ensure_daemons(uri, self.state, self.sink)
        return self._stack.enter_context(connect(uri, self.sink, fixes=self.lab.libvirt.errata))

    @cached_property
    def folder(self) -> RunFolder:
        """This run's folder of secrets and consoles, which is removed when the run ends."""
        user = self.connection.qemu_user()
        with whole():
            folder = new_run_folder(self.state, self.run_id, user)
            self._stack.callback(self._end_folder, folder)
        return folder

    def keep_folder(self) -> None:
        """Let this run's folder stay when the run ends, for a host of it that is left standing."""
        self._kept = True

    def _end_folder(self, folder: RunFolder) -> None:
        if not self._kept:
            folder.remove()

    def accelerator(self, arch: Arch, kernel: str) -> AccelChoice:
        """Return what L1s run on here; found out by running one, once per boot of L0 and QEMU.

        Args:
            arch: Their architecture.
            kernel: The kernel to find it out with, by its name in lab.toml: one that is booted
                anyway.

        Returns:
            The accelerator, and what was seen that speaks for it.

        Raises:
            UnavailableError: No QEMU for `arch` is installed; or lab.toml asks for KVM, and no
                guest that can nest ran on it.
            InfraError: libvirt does not answer.
        """
        if arch not in self.accelerators:
            wanted = self.lab.host.accelerator
            outfit = self.images.outfit(kernel, arch)
            tiny = Tiny(outfit.kernel.image, outfit.initrd)
            self.accelerators[arch] = probe_accelerator(
                self.connection, arch, tiny, self.state, self.sink, wanted=wanted
            )
        return self.accelerators[arch]

    def cpu_lacks(self, request: HostRequest) -> str:
        """Return what the CPU model of lab.toml lacks for a host, by QEMU's own expansion of it.

        Args:
            request: The host.

        Returns:
            One sentence; "" if it lacks nothing, or nobody can say.
        """
        accel = self.accelerator(request.arch, request.kernel).accel
        model = cpu_of_hosts(self.lab, accel)
        if model is None:
            return ""
        key = (request.arch, model)
        if key not in self._models:
            self._models[key] = properties(self.connection, request.arch, accel, model) or {}
        return cpu_lacks(self._models[key], model, request.arch, accel, request.mode)

    def blueprint(self, request: HostRequest, role: str) -> Blueprint:
        """Return what a host is made from; images are built if they are not cached.

        Args:
            request: The host, as a topology or a command asks for it.
            role: What this machine is called; not as the request where there are several.

        Returns:
            The blueprint.

        Raises:
            ConfigError: A kernel cannot be built as it is described.
            UnavailableError: The CPU model of lab.toml cannot be such a host.
            InfraError: A build failed for another reason, or libvirt does not answer.
        """
        if why := self.cpu_lacks(request):
            raise UnavailableError(why, hint="set [host] cpu_model in lab.toml, or leave it out")
        through = self.lab.kernel_for(request.through) if request.through else ""
        accel = self.accelerator(request.arch, request.kernel).accel
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
    """Begin a run; what it opened and made is closed and removed at the end of the block.

    Args:
        lab: The lab.
        sink: Is told of each step.
        run_id: The run's id; None for a new one, 6 hexadecimal digits.

    Yields:
        The session.
    """
    with ExitStack() as stack:
        yield LabSession(lab, stack, sink, run_id or secrets.token_hex(3))
