# SPDX-License-Identifier: Apache-2.0
"""Topologies: hosts, grids of cells over them, and what is expected of each cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from lab.config import enums
from lab.config.fields import (
    Count,
    Mebibytes,
    Milliseconds,
    Model,
    OneOrMore,
    Text,
    did_you_mean,
    wrong,
)
from lab.config.host_request import HostRequest


class Survives(Model):
    """The guest is expected to be there afterwards, running or in memory."""

    scope: enums.Scope = enums.Scope.RUNNING


class Dies(Model):
    """A control: the guest must be lost by one of the checks in `by`, or the lab cannot tell.

    Where none is named, it must fall silent or be nowhere; its memory, where that is judged, must
    have changed. A guest that is lost otherwise is another finding than the control's.
    """

    by: tuple[enums.Loss, ...] = ()
    scope: enums.Scope = enums.Scope.RUNNING


class Parks(Model):
    """The guest is expected to be parked by its kernel, and to go on when it is adopted."""

    scope: enums.Scope = enums.Scope.RUNNING


class Xfail(Model):
    """It ought to survive and is known not to; `link` says where that is being mended.

    It is known to be lost by one of the checks in `by`, or as a control is.
    """

    reason: Text
    link: Text
    by: tuple[enums.Loss, ...] = ()
    scope: enums.Scope = enums.Scope.RUNNING


class Unavailable(Model):
    """No machine of ours can run it; `source` says where that is known from.

    `probe` is a command for the shell of the cell's host that succeeds where it can be run; without
    one, the lab has to have a probe of its own.
    """

    reason: Text
    source: Text | None = None
    probe: Text | None = None
    scope: enums.Scope = enums.Scope.RUNNING


Expectation = Survives | Dies | Parks | Xfail | Unavailable

_PLAIN: Mapping[str, type[Survives | Dies | Parks]] = {
    "survives": Survives,
    "dies": Dies,
    "parks": Parks,
}
_EXPECTATIONS = (
    'type "survives", "dies" or "parks", {dies = {by = ["silence"]}}, '
    '{xfail = "why", link = "https://...", by = ["silence"]}, '
    'or {unavailable = "why", probe = "COMMAND"}'
)


def read_expectation(value: Any) -> Expectation:
    """Read an expectation as a topology has it: a word, or a table with a reason.

    Args:
        value: "survives", "dies" or "parks"; {dies = {by = ...}}; {xfail = ..., link = ...} with
            or without by; {unavailable = ...} with or without a source; or an expectation, which
            is returned as it is.

    Raises:
        PydanticCustomError: It is none of these.
    """
    if isinstance(value, str) and value in _PLAIN:
        return _PLAIN[value]()
    match value:
        case Survives() | Dies() | Parks() | Xfail() | Unavailable():
            return value
        case {"dies": {"by": list(by), **more}, **rest} if by and not more and not rest:
            return Dies(by=_losses(by))
        case {"xfail": str(reason), "link": str(link), "by": list(by), **rest} if by and not rest:
            return Xfail(reason=reason, link=link, by=_losses(by))
        case {"xfail": str(reason), "link": str(link), **rest} if not rest:
            return Xfail(reason=reason, link=link)
        case {"unavailable": str(reason), **rest} if _only(rest, "source", "probe"):
            return Unavailable.model_validate({**rest, "reason": reason})
        case {"xfail": _}:
            raise wrong(f"an xfail needs a reason and a link, got {value!r}", _EXPECTATIONS)
        case str():
            hint = did_you_mean(value, list(_PLAIN)) or _EXPECTATIONS
            raise wrong(f"no such expectation: {value!r}", hint)
        case _:
            raise wrong(f"no such expectation: {value!r}", _EXPECTATIONS)


def _only(table: Mapping[object, object], *keys: str) -> bool:
    return table.keys() <= {*keys} and all(isinstance(each, str) for each in table.values())


def _losses(names: list[Any]) -> tuple[enums.Loss, ...]:
    known = [loss.value for loss in enums.Loss]
    for name in names:
        if name not in known:
            hint = did_you_mean(str(name), known) or f"there are: {', '.join(known)}"
            raise wrong(f"no check {name!r} loses a guest", hint)
    return tuple(enums.Loss(name) for name in names)


class Options(Model):
    """What makes a cell special beyond its dimensions; what is left out is as usual."""

    stop_ms: Milliseconds | None = None
    """For `vcpu-stop`: how long the vCPUs are stopped, in milliseconds."""
    memory: enums.MemoryKind | None = None
    """What backs the guest's memory, where the memory is judged (`scope = "memory"`)."""
    load: enums.KexecLoad = enums.KexecLoad.FILE_LOAD
    """The system call that loads the next kernel; only kexec_file_load carries a hand-over."""
    kexecs: Count = 1
    """How many kexecs follow each other; the guest is adopted in each kernel but the last."""
    through: Text | None = None
    """The kernel of every other kexec: a name in lab.toml."""
    confidential: enums.Confidential | None = None
    """What hides the guest's memory from its host."""
    orphaning: enums.Orphaning | None = None
    """The interface by which the guest may outlive its VMM, or its host's kernel."""
    policy: enums.OrphanPolicy = enums.OrphanPolicy.RUN
    """What the guest's vCPUs do while no VMM owns it."""
    chaos: bool = False
    """Whether guest and host are loaded, and the disruption comes at a random moment."""

    @property
    def words(self) -> tuple[str, ...]:
        """What a cell id says of them: nothing of what is usual."""
        unusual = (
            f"{self.stop_ms}ms" if self.stop_ms else None,
            self.memory,
            self.load if self.load is not enums.KexecLoad.FILE_LOAD else None,
            f"{self.kexecs}kexecs" if self.kexecs > 1 else None,
            f"through_{self.through}" if self.through else None,
            self.confidential,
            self.orphaning,
            self.policy if self.policy is not enums.OrphanPolicy.RUN else None,
            "chaos" if self.chaos else None,
        )
        return tuple(word.replace("-", "_") for word in unusual if word)


class HostSpec(Model):
    """One [host.<name>]: a machine that guests run on; a size that is left out is lab.toml's."""

    arch: enums.Arch
    """Architecture of the host and its guests."""
    kernel: Text = "stock"
    """The kernel under test: a name in lab.toml."""
    mode: enums.HostMode = enums.HostMode.NATIVE
    """Where the host's kernel runs relative to its hypervisor; proven at each boot."""
    vcpus: Count | None = None
    """CPUs of the host."""
    memory_mib: Mebibytes | None = None
    """Memory of the host, in MiB."""
    overcommit: bool = False
    """Whether it may have more CPUs than L0 has cores: they then wait for each other, and the
    lengths of its guests' silences say nothing."""

    @model_validator(mode="after")
    def _has_the_mode(self) -> Self:
        if self.mode not in enums.MODES[self.arch]:
            known = " or ".join(f'"{mode}"' for mode in enums.MODES[self.arch])
            message = f"{self.arch.value} hosts have no mode {self.mode.value!r}"
            raise wrong(message, f"type mode = {known}")
        return self


class GuestSpec(Model):
    """One [guest.<kind>]: how large guests of that kind are."""

    memory_mib: Mebibytes
    """Memory of such a guest, in MiB."""


class Twin(Model):
    """The control of each surviving cell of a grid: the same cell, but for what this names."""

    kernel: Text | None = None
    """Its host's kernel: a name in lab.toml."""
    mode: enums.HostMode | None = None
    """The mode of its host."""
    disruption: enums.DisruptionKind | None = None
    """What is done to it."""
    options: Options | None = None
    """All of its options."""

    @model_validator(mode="after")
    def _differs(self) -> Self:
        if not self.model_fields_set:
            raise wrong("a twin without a key is the cell itself", 'type twin = {kernel = "stock"}')
        return self


class Grid(Model):
    """One [[cells]]: the product of its lists, with one expectation for all of it."""

    host: OneOrMore[Text] | None = None
    """Hosts of this topology, by name; all of them if left out."""
    kernel: OneOrMore[Text] | None = None
    """Kernels to run in place of the host's."""
    guest: OneOrMore[enums.GuestKind]
    """What runs as L2."""
    vmm: OneOrMore[enums.VmmKind]
    """What runs it."""
    disruption: OneOrMore[enums.DisruptionKind]
    """What is done to the guest, its VMM or its host."""
    vcpus: OneOrMore[Count] = (1,)
    """vCPUs of the guest."""
    options: OneOrMore[Options] = (Options(),)
    """What makes a cell special beyond its dimensions: a table, or a list of tables."""
    expect: Annotated[Expectation, BeforeValidator(read_expectation)]
    """What comes out if all is well: "survives", "dies", "parks", {xfail = "why", link = "URL"} or
    {unavailable = "why", source = "how that is known", probe = "COMMAND"}."""
    scope: enums.Scope = enums.Scope.RUNNING
    """What is judged: that the guest runs on, or that its memory is the same."""
    twin: Twin | None = None
    """The control of each cell: the same one but for the keys of this table. Left out, it is the
    cell that dies with the feature off, or else on the stock kernel."""
    tier: enums.Tier
    """How often the cells are run; each tier contains the ones before it."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        for disruption in self.disruption:
            for options in self.options:
                _check(disruption, options)
        if any(options.memory for options in self.options):
            self._check_memory()
        if any(options.orphaning for options in self.options) and enums.VmmKind.QEMU in self.vmm:
            raise wrong("'orphaning' is something that only labvmm can do", 'type vmm = ["labvmm"]')
        if (
            enums.DisruptionKind.CPR_TRANSFER in self.disruption
            and enums.VmmKind.LABVMM in self.vmm
        ):
            raise wrong("'cpr-transfer' is something that only qemu can do", 'type vmm = ["qemu"]')
        return self

    def _check_memory(self) -> None:
        if self.scope is not enums.Scope.MEMORY:
            raise wrong("with 'memory' the memory is judged", 'add: scope = "memory"')
        if enums.VmmKind.QEMU in self.vmm:
            raise wrong("'memory' is something that only labvmm can do", 'type vmm = ["labvmm"]')


def _check(disruption: enums.DisruptionKind, options: Options) -> None:
    stops = disruption is enums.DisruptionKind.VCPU_STOP
    if stops and options.stop_ms is None:
        raise wrong("'vcpu-stop' needs to know for how long", "add: options = [{stop_ms = 250}]")
    if not stops and options.stop_ms is not None:
        raise wrong(
            f"'stop_ms' has no effect on {disruption.value!r}", "it is for 'vcpu-stop' only"
        )
    if stops and options.chaos:
        raise wrong("'chaos' disturbs the time that 'vcpu-stop' measures", "leave out one of them")
    if options.chaos and options.memory:
        raise wrong("'chaos' is for guests that run", "leave out 'memory'")
    if options.load is enums.KexecLoad.LOAD and not disruption.loads_kernel:
        raise wrong(f"'load' has no effect on {disruption.value!r}", "it is for 'kexec' only")
    if options.through and disruption is not enums.DisruptionKind.KEXEC:
        raise wrong(f"'through' has no effect on {disruption.value!r}", "it is for 'kexec' only")
    if options.kexecs > 1 and not (disruption is enums.DisruptionKind.KEXEC and options.orphaning):
        raise wrong(
            "'kexecs' is for guests that may outlive each kernel of 'kexec'",
            'add: disruption = "kexec", options = {orphaning = "resident", kexecs = 3}',
        )
    if options.policy is not enums.OrphanPolicy.RUN and not options.orphaning:
        raise wrong("'policy' is for guests that can be orphaned", 'add: orphaning = "async"')
    if options.memory and not disruption.ends_host:
        raise wrong(
            f"'memory' has no effect on {disruption.value!r}",
            "it is for what ends the host's kernel: 'kexec', 'crash-kexec', 'host-reset'",
        )


class Topology(Model):
    """One file of topologies/."""

    name: Text
    """Its name; the file is called the same."""
    description: Text
    """One line for reports."""
    hosts: dict[str, HostSpec] = Field(alias="host", min_length=1)
    """Its hosts, by name."""
    guests: dict[enums.GuestKind, GuestSpec] = Field(alias="guest", default_factory=dict)
    """Sizes of its guests, by kind."""
    grids: tuple[Grid, ...] = Field(alias="cells", min_length=1)
    """Its grids of cells."""


class Cell(Model):
    """One case: everything that is known of it before it is run."""

    request: HostRequest
    accel: enums.Accel
    guest: enums.GuestKind
    vmm: enums.VmmKind
    disruption: enums.DisruptionKind
    vcpus: Count = 1
    memory_mib: Mebibytes
    options: Options = Options()
    expectation: Expectation
    tier: enums.Tier
    twin: str = ""  # the id of its control; "" where it needs none, or none is there

    @property
    def topology(self) -> str:
        """The name of the topology that it is of."""
        return self.request.topology

    @property
    def host(self) -> str:
        """What the topology calls its host."""
        return self.request.role

    @property
    def arch(self) -> enums.Arch:
        """The architecture of host and guest."""
        return self.request.arch

    @property
    def kernel(self) -> str:
        """The name of its host's kernel, stand-ins resolved."""
        return self.request.kernel

    @property
    def mode(self) -> enums.HostMode:
        """The mode that its host is asked for."""
        return self.request.mode

    @property
    def scope(self) -> enums.Scope:
        """What is judged in this cell."""
        return self.expectation.scope

    @property
    def id(self) -> str:
        """Its name everywhere: `x86_64-tcg-stock-linux-qemu-vmm_kill`, then what is unusual."""
        mode = () if self.mode is enums.HostMode.NATIVE else (self.mode,)
        vcpus = () if self.vcpus == 1 else (f"{self.vcpus}vcpus",)
        words = (self.arch, self.accel, self.kernel, *mode, self.guest, self.vmm, self.disruption)
        return "-".join(w.replace("-", "_") for w in (*words, *vcpus, *self.options.words))
