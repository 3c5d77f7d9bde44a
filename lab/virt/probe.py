# SPDX-License-Identifier: Apache-2.0
"""Which accelerator a machine really has: a /dev/kvm that opens may still run no guest."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from lab.config.enums import Accel, Arch
from lab.config.host_request import HostRequest
from lab.deadline import Deadline
from lab.errors import InfraError, LabError, UnavailableError
from lab.events import Sink, Step, nowhere
from lab.resources.ledger import flocked
from lab.resources.owner import Owner, boot_id
from lab.signals import whole
from lab.virt.connection import Connection
from lab.virt.console import Console
from lab.virt.domain import Domain
from lab.virt.xml import DomainSpec

_MEMORY_MIB = 512
_PATIENCE_S = 60.0
_SEEN = r"Linux version \d"  # the first thing that any kernel says
_PREAMBLE = r"^.*(: error: |qemu-system-\w+: )"  # of a line by QEMU, as libvirt quotes it
_NESTING = ("svm", "vmx")
# Part of every result until the ladder has been run on such a machine.
_UNTRIED = "the accelerated path has not been run where this lab is built: doubt its times first"


@dataclass(frozen=True, slots=True)
class AccelChoice:
    """The accelerator to use, and the evidence for it."""

    accel: Accel
    reason: str


@dataclass(frozen=True, slots=True)
class Tiny:
    """The kernel that the probe boots: any of the architecture; it need not get far."""

    kernel: Path
    initrd: Path | None = None


def remembered(state: Path, arch: Arch) -> Accel:
    """Return what the last probe of this boot of L0 chose; probes nothing.

    Args:
        state: The state folder.
        arch: The architecture.

    Returns:
        The accelerator; TCG if there was no probe.
    """
    choice = remembered_choice(state, arch)
    return choice.accel if choice else Accel.TCG


def likely_accelerators(state: Path, wanted: Accel) -> dict[Arch, Accel]:
    """Return what hosts of each architecture will most likely run on; nothing is probed.

    Args:
        state: The state folder, where the last probe's result is stored.
        wanted: What lab.toml or an option says; for 'auto', the last probe's result counts.

    Returns:
        'kvm' or 'tcg' for each architecture.
    """
    auto = wanted is Accel.AUTO
    return {arch: remembered(state, arch) if auto else wanted for arch in Arch}


def remembered_choice(state: Path, arch: Arch) -> AccelChoice | None:
    """Return what probes of this boot of L0 found, and why; probes nothing.

    Args:
        state: The state folder.
        arch: The architecture.

    Returns:
        The choice, or None if there was no probe.
    """
    known = _known(state / "accelerators.json")
    ours = [v for k, v in known.items() if boot_id() in k and f" {arch.value} " in k]
    if not ours:
        return None
    bad = [v for v in ours if not v["kvm"]]
    accel = Accel.TCG if bad else Accel.KVM
    return AccelChoice(accel, str((bad or ours)[-1]["reason"]))


def probe_accelerator(
    connection: Connection,
    arch: Arch,
    tiny: Tiny,
    state: Path,
    sink: Sink = nowhere,
    *,
    wanted: Accel = Accel.AUTO,
) -> AccelChoice:
    """Choose the accelerator by running a machine on it, once per boot of L0 and QEMU version.

    Args:
        connection: The libvirt.
        arch: The architecture.
        tiny: The kernel to boot.
        state: The state folder, where the result is cached.
        sink: Receives the steps.
        wanted: The accelerator that lab.toml names.

    Returns:
        The choice.

    Raises:
        UnavailableError: No QEMU for `arch` is installed; or `wanted` is KVM, and no guest that
            can nest ran on it.
    """
    machine = (arch.traits.qemu, arch.traits.machine)
    if connection.offers(*machine, "qemu") is not None:
        raise UnavailableError(
            f"{connection.uri} has no QEMU for {arch.value}",
            hint=f"apt install {arch.traits.qemu_package}",
        )
    if wanted is Accel.TCG:
        return AccelChoice(Accel.TCG, "accelerator = 'tcg' is set")
    refusal = connection.offers(*machine, "kvm")
    works, reason = (
        (False, f"libvirt offers no KVM for {arch.value} here: {refusal}")
        if refusal is not None
        else _remembered(connection, arch, tiny, state, sink)
    )
    if wanted is Accel.KVM and not works:
        raise UnavailableError(
            f"accelerator = 'kvm' is set, but {reason}", hint="set accelerator = 'auto' or 'tcg'"
        )
    choice = AccelChoice(Accel.KVM if works else Accel.TCG, reason)
    sink(Step(what=f"{arch.value} runs on {choice.accel.value.upper()}: {reason}"))
    return choice


def _remembered(
    connection: Connection, arch: Arch, tiny: Tiny, state: Path, sink: Sink
) -> tuple[bool, str]:
    cache = state / "accelerators.json"
    with flocked(state / "accelerators.flock", "another probe for KVM", Deadline.after(180)):
        known = _known(cache)
        key = _key(connection, arch)
        if key not in known:
            sink(Step(what=f"running a machine to see whether KVM works for {arch.value}"))
            known = {k: v for k, v in known.items() if boot_id() in k}
            works, reason = _try_kvm(connection, arch, tiny, state)
            known[key] = {"kvm": works, "reason": reason}
            cache.write_text(json.dumps(known, indent=1), encoding="utf-8")
        return bool(known[key]["kvm"]), str(known[key]["reason"])


def _known(cache: Path) -> dict[str, dict[str, object]]:
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return known if isinstance(known, dict) else {}


def _key(connection: Connection, arch: Arch) -> str:
    versions = connection.versions()
    nested = [
        f"{p.parent.parent.name}.nested={p.read_text(encoding='ascii').strip()}"
        for p in sorted(Path("/sys/module").glob("kvm_*/parameters/nested"))
    ]
    return " ".join([boot_id(), arch.value, *versions.values(), *nested])


def _try_kvm(connection: Connection, arch: Arch, tiny: Tiny, state: Path) -> tuple[bool, str]:
    console = state / f"probe-{Owner.me().pid}.log"
    spec = DomainSpec(
        name=f"lab-probe-{Owner.me().pid}",
        run_id="probe",
        owner=Owner.me(),
        role="probe",
        request=HostRequest(
            topology="probe",
            role="probe",
            arch=arch,
            kernel="stock",
            mode=arch.traits.modes[0],
            vcpus=1,
            memory_mib=_MEMORY_MIB,
        ),
        accel=Accel.KVM,
        kernel=tiny.kernel,
        initrd=tiny.initrd,
        cmdline="console=ttyS0 console=ttyAMA0 panic=-1",
        console=console,
        user=connection.qemu_user(),
        panic_device=False,
    )
    with ExitStack() as undo:
        try:
            with whole():
                undo.callback(console.unlink, missing_ok=True)
                domain = connection.define_and_start(spec)
                undo.callback(domain.destroy)
        except InfraError as e:
            why = last_words(str(e))
            return False, f"libvirt offers KVM, but QEMU could not run a guest: {why}"
        return _judge(domain, console, arch)


def _judge(domain: Domain, path: Path, arch: Arch) -> tuple[bool, str]:
    console = Console(path, "the probe", lambda: domain.ended)
    try:
        console.wait_for(_SEEN, Deadline.after(_PATIENCE_S), dying=True)
    except LabError as e:
        return False, f"libvirt offers KVM, but a guest on it prints nothing: {last_words(str(e))}"
    if arch is not Arch.X86_64:
        return True, f"a KVM guest ran; libvirt gave it virtualization ({_UNTRIED})"
    cpu = domain.qmp("query-cpus-fast")[0]["qom-path"]
    for feature in _NESTING:
        if _has(domain, cpu, feature):
            return True, f"a KVM guest ran, and sees {feature} ({_UNTRIED})"
    return False, "a KVM guest runs, but sees neither svm nor vmx: nesting is off in L0"


def _has(domain: Domain, cpu: str, feature: str) -> bool:
    return domain.qmp("qom-get", path=cpu, property=feature) is True


def last_words(text: str) -> str:
    """Pick the line that has the reason out of QEMU's output, as libvirt quotes it.

    Args:
        text: libvirt's error.

    Returns:
        One line.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if "qemu-system-" in line] or lines
    for sign in ("error: ", "failed to ", "could not ", "cannot "):
        telling = [line for line in lines if sign in line.lower()]
        if telling:
            return re.sub(_PREAMBLE, "", telling[-1])
    return lines[0] if lines else "no reason was printed"
