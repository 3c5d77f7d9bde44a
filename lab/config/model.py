# SPDX-License-Identifier: Apache-2.0
"""lab.toml as a frozen model; with it, every other model and word, to be imported from here."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated, Self

from pydantic import Field, PrivateAttr, StringConstraints, model_validator

from lab.config.enums import (
    MODES,
    Accel,
    Arch,
    Confidential,
    DisruptionKind,
    Errata,
    GuestKind,
    HostMode,
    KexecLoad,
    MemoryKind,
    Orphaning,
    OrphanPolicy,
    Scope,
    Tier,
    VmmKind,
)
from lab.config.fields import (
    Count,
    File,
    Mebibytes,
    Milliseconds,
    Model,
    OneOrMore,
    Place,
    Seconds,
    Text,
    did_you_mean,
    wrong,
)
from lab.config.host_request import HostRequest
from lab.config.kernels import (
    Distribution,
    Fragments,
    FromDebian,
    FromGit,
    FromImage,
    FromPackage,
    FromPackageFiles,
    FromRecipe,
    FromTarball,
    FromTree,
    KernelRecipe,
    KernelSpec,
    Prebuilt,
    Source,
)
from lab.config.lock import Lock
from lab.config.topology import (
    Cell,
    Dies,
    Expectation,
    Grid,
    GuestSpec,
    HostSpec,
    Options,
    Parks,
    Survives,
    Topology,
    Unavailable,
    Xfail,
)

__all__ = [
    "MODES",
    "Accel",
    "Arch",
    "Budget",
    "Cell",
    "Confidential",
    "CpuModel",
    "Dies",
    "DisruptionKind",
    "Distribution",
    "Errata",
    "Expectation",
    "Fragments",
    "FromDebian",
    "FromGit",
    "FromImage",
    "FromPackage",
    "FromPackageFiles",
    "FromRecipe",
    "FromTarball",
    "FromTree",
    "Grid",
    "GuestKind",
    "GuestSpec",
    "HostDefaults",
    "HostMode",
    "HostSpec",
    "KernelRecipe",
    "KernelSpec",
    "KexecLoad",
    "LabConfig",
    "Libvirt",
    "MemoryKind",
    "Nightly",
    "Options",
    "OrphanPolicy",
    "Orphaning",
    "Parks",
    "Patience",
    "Prebuilt",
    "Reports",
    "Scope",
    "Source",
    "Survives",
    "Tier",
    "Topology",
    "Unavailable",
    "VmmKind",
    "Watch",
    "Xfail",
]

KernelName = Annotated[str, StringConstraints(pattern="^[a-z0-9][a-z0-9._-]*$")]


class Libvirt(Model):
    """[libvirt]: where hosts run, and what is done to their QEMU."""

    uris: Annotated[tuple[Text, ...], Field(min_length=1)] = ("auto",)
    """Connection URIs, of which the first is used. "auto" is qemu:///system for root and
    qemu:///session for every other user."""
    errata: Errata = Errata.APPLY
    """Whether the two errors of QEMU's TCG that lose x86-64 guests at random are patched in the
    memory of each QEMU that the lab starts ("apply"), or a running QEMU is left as it is ("leave").
    Each record says which. See docs/qemu/README.md."""


class CpuModel(Model):
    """[host] cpu_model: what L1's processor is, for each accelerator."""

    tcg: Text = "max"
    """The CPU model under TCG, as libvirt names it."""
    kvm: Text = "host-passthrough"
    """The CPU model under KVM: a model's name, or "host-passthrough"."""


class HostDefaults(Model):
    """[host]: what an L1 is when its topology does not say."""

    vcpus: Count = 2
    """CPUs of a host."""
    memory_mib: Mebibytes = 2048
    """Memory of a host, in MiB."""
    accelerator: Accel = Accel.AUTO
    """What hosts run on: "kvm", "tcg", or the best that is proven to work here ("auto")."""
    cpu_model: CpuModel = CpuModel()
    """The CPU model of a host, for each accelerator."""


class Patience(Model):
    """[patience]: the longest that each kind of wait may take, in seconds."""

    boot: Seconds = Field(default=120.0, alias="boot_s")
    """For a host to boot, from power-on to its init's last line, in seconds."""
    ssh: Seconds = Field(default=60.0, alias="ssh_s")
    """For SSH to a host that has booted, in seconds."""
    command: Seconds = Field(default=60.0, alias="command_s")
    """For a command in a host, in seconds."""
    kexec: Seconds = Field(default=120.0, alias="kexec_s")
    """For the next kernel of a host to answer after a kexec, in seconds."""
    guest: Seconds = Field(default=90.0, alias="guest_s")
    """For a guest to boot and its beacon to be found, in seconds."""
    build: Seconds = Field(default=3600.0, alias="build_s")
    """For another `lab up` that builds the same to end, in seconds; a build of one's own has no
    limit."""


class Watch(Model):
    """[watch]: how long and how often the outside eye looks at a guest."""

    baseline_s: Seconds = 3.0
    """How long the guest is watched before the disruption, in seconds."""
    after_s: Seconds = 6.0
    """How long it is watched afterwards, in seconds; more than `patience_s`, or a loss could not be
    told from a silence."""
    patience_s: Seconds = 3.0
    """A guest that is silent for longer is lost, in seconds."""
    look_every_ms: Milliseconds = 20
    """How often the outside eye reads the beacon, in milliseconds."""
    jitter_limit_ms: Milliseconds = 10
    """A window in which L0 itself was late by more is void, in milliseconds."""


class Budget(Model):
    """[budget]: what the lab may use of this machine; all of it, where nothing is said."""

    memory_mib: Mebibytes | None = None
    """Memory for all hosts together, in MiB."""
    cores: Count | None = None
    """Cores for all hosts together."""


class Reports(Model):
    """[report]: which runs that have ended stay."""

    keep: Count = 60
    """How many runs stay in reports/. The last good one, the one that `latest` points at, and runs
    that did not end stay beside them."""
    sign_with: File | None = None
    """The SSH key that signs each run's hash tree, as "~/.ssh/id_ed25519"; none without it. A key
    with a passphrase is used by the agent. `lab verify` checks the signature."""


class Nightly(Model):
    """[nightly]: what `lab nightly` does, and for how long."""

    repeat: Count = 2
    """How often each cell is run."""
    repeats: dict[Text, Count] = Field(default_factory=dict)
    """The same for cells whose id matches a glob, as {"*-chaos" = 10}; the first match counts."""
    at_most_s: Seconds = 10_800.0
    """A cell that has not begun after so many seconds is not run, and the report names it."""
    bench: bool = True
    """Whether `lab bench` is run, too."""

    def repeats_of(self, cell_id: str) -> int:
        """Return how often a cell is run in one night: by the first pattern that matches its id."""
        fits = (n for pattern, n in self.repeats.items() if fnmatchcase(cell_id, pattern))
        return next(fits, self.repeat)


class LabConfig(Model):
    """Everything that lab.toml can say."""

    cache: Place | None = None
    """Folder of built kernels and root file systems; without it /var/cache/caretaker-lab for root,
    and ~/.cache/caretaker-lab for every other user."""
    state: Place | None = None
    """Folder of what `lab up` left standing, of locks and of the history; without it
    /var/lib/caretaker-lab for root, and ~/.local/state/caretaker-lab for every other user."""
    mirror: OneOrMore[Text] | None = None
    """Debian mirror for root file systems and kernels, or a list of them: what one has not, or has
    with another digest, is asked of the next. Without it the one that this machine uses."""
    libvirt: Libvirt = Libvirt()
    host: HostDefaults = HostDefaults()
    patience: Patience = Patience()
    watch: Watch = Watch()
    budget: Budget = Budget()
    report: Reports = Reports()
    nightly: Nightly = Nightly()
    kernel: dict[KernelName, KernelSpec] = Field(default_factory=dict)
    """Kernels under test, by the name that topologies and `--kernel` use."""

    _lock: Lock | None = PrivateAttr(default=None)

    @property
    def lock(self) -> Lock | None:
        """The lab.lock that goes with it; None if what is newest now is tested."""
        return self._lock

    def with_lock(self, lock: Lock | None) -> Self:
        """Return this configuration with a lock.

        Args:
            lock: The lock; None for none.

        Returns:
            A copy.
        """
        made = self.model_copy()
        made._lock = lock  # noqa: SLF001 - its own
        return made

    @model_validator(mode="after")
    def _stand_ins(self) -> Self:
        taken: dict[str, str] = {}
        for name, spec in self.kernel.items():
            other = spec.stands_for
            if other is None:
                continue
            if other not in self.kernel:
                hint = (
                    did_you_mean(other, list(self.kernel)) or f"there are: {', '.join(self.kernel)}"
                )
                raise wrong(f"kernel.{name}.stands_for: no kernel {other!r} is defined", hint)
            if other in taken:
                raise wrong(f"kernels {taken[other]!r} and {name!r} both stand for {other!r}")
            taken[other] = name
        return self

    def host_request(
        self,
        topology: str,
        role: str,
        spec: HostSpec,
        *,
        kernel: str | None = None,
        through: str | None = None,
    ) -> HostRequest:
        """Decide all that a host's description leaves open: the only place where that is done.

        Args:
            topology: The name of the topology that the host is of.
            role: Its name there.
            spec: The description.
            kernel: Its kernel's name, stand-ins resolved, in place of the description's.
            through: Another kernel, which it goes to by kexec.

        Returns:
            The request.
        """
        return HostRequest(
            topology=topology,
            role=role,
            arch=spec.arch,
            kernel=kernel or self.kernel_for(spec.kernel),
            mode=spec.mode,
            vcpus=spec.vcpus or self.host.vcpus,
            memory_mib=spec.memory_mib or self.host.memory_mib,
            overcommit=spec.overcommit,
            through=through,
        )

    def kernel_for(self, name: str) -> str:
        """Return the kernel that cells of a kernel run: itself, or the one that stands for it.

        Args:
            name: The kernel in the cells' ids.

        Returns:
            A name in lab.toml.
        """
        return next((k for k, spec in self.kernel.items() if spec.stands_for == name), name)
