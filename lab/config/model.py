# SPDX-License-Identifier: Apache-2.0
"""lab.toml as a frozen model; with it, every other model and word, to be imported from here."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from lab.config.enums import (
    MODES,
    Accel,
    Arch,
    Confidential,
    DisruptionKind,
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
    Mebibytes,
    Milliseconds,
    Model,
    Place,
    Seconds,
    Text,
    did_you_mean,
    wrong,
)
from lab.config.kernels import (
    Fragments,
    FromDebian,
    FromGit,
    FromImage,
    FromRecipe,
    FromTarball,
    FromTree,
    KernelRecipe,
    KernelSpec,
    Source,
)
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
    "Expectation",
    "Fragments",
    "FromDebian",
    "FromGit",
    "FromImage",
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
    """[libvirt]; "auto" is qemu:///system for root and qemu:///session for everybody else."""

    uris: Annotated[tuple[Text, ...], Field(min_length=1)] = ("auto",)


class CpuModel(Model):
    """[host] cpu_model: what L1's processor is, for each accelerator."""

    tcg: Text = "max"
    kvm: Text = "host-passthrough"


class HostDefaults(Model):
    """[host]: what an L1 is when its topology does not say."""

    vcpus: Count = 2
    memory_mib: Mebibytes = 2048
    accelerator: Accel = Accel.AUTO
    cpu_model: CpuModel = CpuModel()


class Patience(Model):
    """[patience]: how many seconds each kind of wait may take; the keys in lab.toml end in `_s`."""

    boot: Seconds = Field(default=120.0, alias="boot_s")
    ssh: Seconds = Field(default=60.0, alias="ssh_s")
    command: Seconds = Field(default=60.0, alias="command_s")
    kexec: Seconds = Field(default=120.0, alias="kexec_s")
    guest: Seconds = Field(default=90.0, alias="guest_s")
    build: Seconds = Field(default=3600.0, alias="build_s")


class Watch(Model):
    """[watch]: how long and how often the outside eye looks at a guest."""

    baseline_s: Seconds = 3.0
    after_s: Seconds = 6.0
    patience_s: Seconds = 3.0
    look_every_ms: Milliseconds = 20
    jitter_limit_ms: Milliseconds = 10


class Budget(Model):
    """[budget]: what the lab may use of this machine; all of it, where nothing is said."""

    memory_mib: Mebibytes | None = None
    cores: Count | None = None


class Reports(Model):
    """[report]: what is kept of the runs that have ended."""

    keep: Count = 60


class Nightly(Model):
    """[nightly]: what `lab nightly` does, and for how long; `repeats` goes by cell id, as globs."""

    repeat: Count = 2
    repeats: dict[Text, Count] = Field(default_factory=dict)
    at_most_s: Seconds = 10_800.0
    bench: bool = True

    def repeats_of(self, cell_id: str) -> int:
        """Say how often a cell is done in one night: by the first pattern that fits its id."""
        fits = (n for pattern, n in self.repeats.items() if fnmatchcase(cell_id, pattern))
        return next(fits, self.repeat)


class LabConfig(Model):
    """Everything that lab.toml can say."""

    cache: Place | None = None
    state: Place | None = None
    mirror: Text | None = None
    libvirt: Libvirt = Libvirt()
    host: HostDefaults = HostDefaults()
    patience: Patience = Patience()
    watch: Watch = Watch()
    budget: Budget = Budget()
    report: Reports = Reports()
    nightly: Nightly = Nightly()
    kernel: dict[KernelName, KernelSpec] = Field(default_factory=dict)

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

    def kernel_for(self, name: str) -> str:
        """Give the kernel that cells of kernel `name` run: itself, or what stands for it."""
        return next((k for k, spec in self.kernel.items() if spec.stands_for == name), name)
