# SPDX-License-Identifier: Apache-2.0
"""What a kernel complains of counts, but for what kexec under a guest is known to bring."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from lab.config.enums import DisruptionKind
from lab.errors import InfraError
from lab.host.health import complaint, insist_running, stall, unfit
from lab.host.host import RunningHost
from lab.kernlog import findings
from lab.observe.window import Window
from lab.verdict.problem import Problem, ProblemKind
from lab.virt.console import Mark

KNOWN = (
    "WARNING: ../src/arch/arm64/kvm/arch_timer.c:507 at set_cntvoff+0x48/0x50, CPU#1: python3/56"
)
# Of a vCPU that came to another CPU then.
MOVED = (
    "WARNING: ../src/arch/arm64/kvm/arm.c:704 at kvm_arch_vcpu_load+0x2f4/0x2fc, CPU#1: qemu/228"
)
OTHER = "WARNING: ../src/arch/arm64/kvm/mmu.c:12 at stage2_unmap+0x48/0x50, CPU#1: python3/56"


OOM = "Memory cgroup out of memory: Killed process 7 (labvmm) total-vm:1kB"
PANIC = "Kernel panic - not syncing: Fatal exception"
CRASH = "Kernel panic - not syncing: sysrq triggered crash"
FAULTS = (
    PANIC,
    CRASH,
    "kvm [1]: nVHE hyp panic at: [<ffff800081001234>] __kvm_nvhe_handle_trap+0x1/0x2!",
    "kernel BUG at virt/kvm/kvm_main.c:12!",
    "BUG: unable to handle page fault for address: 0000000000001000",
    "Oops: general protection fault, probably for non-canonical address 0xdead: 0000 [#1]",
    OTHER,
    "BUG: KASAN: slab-use-after-free in kvm_vcpu_ioctl+0x1/0x2",
    "BUG: KCSAN: data-race in kvm_vcpu_kick / vcpu_enter_guest",
    "UBSAN: shift-out-of-bounds in ../virt/kvm/kvm_main.c:1:2",
    "WARNING: possible circular locking dependency detected",
    "Out of memory: Killed process 7 (labvmm) total-vm:1kB",
    OOM,
)
STALLS = (
    "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [labvmm:7]",
    "watchdog: CPU0: Watchdog detected hard LOCKUP on cpu 0",
    "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
    "INFO: task labvmm:7 blocked for more than 120 seconds.",
)


def host_that_said(*lines: str) -> RunningHost:
    console = SimpleNamespace(findings=lambda _: list(findings(lines)))
    return cast("RunningHost", SimpleNamespace(role="a", console=console))


def told(*lines: str, disruption: DisruptionKind = DisruptionKind.NONE) -> str | None:
    found = complaint(host_that_said(*lines), cast("Mark", None), disruption)
    assert found is None or found.kind is ProblemKind.PRODUCT
    return found.reason if found else None


def stalled(*lines: str, voids: tuple[Window, ...] = ()) -> Problem | None:
    return stall(host_that_said(*lines), cast("Mark", None), voids)


@pytest.mark.parametrize("line", FAULTS)
def test_whatever_a_kernel_complains_of_is_a_fault(line: str) -> None:
    assert told(line) == f"the kernel of a complained: {line}"
    assert told(line, disruption=DisruptionKind.VMM_KILL) is not None


@pytest.mark.parametrize("line", STALLS)
def test_a_stall_is_told_apart_because_l0_may_have_stalled_too(line: str) -> None:
    assert told(line) is None
    assert stalled(line) == Problem(ProblemKind.PRODUCT, f"the kernel of a stalled: {line}")


@pytest.mark.parametrize("line", FAULTS)
def test_a_fault_is_no_stall(line: str) -> None:
    assert stalled(line) is None


def test_the_panic_that_was_asked_for_is_none_and_any_other_is() -> None:
    assert told(CRASH, disruption=DisruptionKind.CRASH_KEXEC) is None
    assert told(CRASH, PANIC, disruption=DisruptionKind.CRASH_KEXEC) is not None
    assert told(OTHER, disruption=DisruptionKind.CRASH_KEXEC) is not None
    assert told(CRASH, disruption=DisruptionKind.KEXEC) is not None


def test_the_oom_killer_is_meant_only_where_it_is_the_disruption() -> None:
    assert told(OOM, disruption=DisruptionKind.VMM_OOM) is None
    assert told(FAULTS[-2], disruption=DisruptionKind.VMM_OOM) is not None


def test_nvhe_warns_when_kexec_takes_its_hypervisor_away() -> None:
    assert told(KNOWN, MOVED, disruption=DisruptionKind.KEXEC) is None
    assert told(MOVED) == f"the kernel of a complained: {MOVED}"
    assert told(KNOWN) == f"the kernel of a complained: {KNOWN}"


def test_no_other_warning_hides_behind_it() -> None:
    wrong = told(KNOWN, OTHER, disruption=DisruptionKind.KEXEC)
    assert wrong == f"the kernel of a complained: {OTHER}"


@pytest.mark.parametrize(
    ("voids", "kind"),
    [
        ((Window(1.0, 1.2),), ProblemKind.PRODUCT),
        ((Window(1.0, 1.5), Window(2.0, 2.25)), ProblemKind.PRODUCT),
        ((Window(1.0, 2.0),), ProblemKind.FIGURES),
        ((Window(1.0, 1.6), Window(2.0, 2.6)), ProblemKind.FIGURES),
    ],
)
def test_a_stall_of_l1_is_blamed_on_it_unless_l0_stalled_too(
    voids: tuple[Window, ...], kind: ProblemKind
) -> None:
    found = stalled(STALLS[0], voids=voids)
    assert found is not None
    assert found.kind is kind


def test_the_first_complaint_and_the_first_stall_are_told() -> None:
    assert told(OTHER, PANIC) == f"the kernel of a complained: {OTHER}"
    both = stalled(STALLS[2], STALLS[3])
    assert both == Problem(ProblemKind.PRODUCT, f"the kernel of a stalled: {STALLS[2]}")


def test_a_quiet_kernel_has_no_complaint_and_no_stall() -> None:
    assert (told(), stalled()) == (None, None)


def between_cells(*lines: str, open_vms: str = "0", free_kib: int = 524_288) -> RunningHost:
    """Return a host between two cells that would be fit, with changes."""

    def run(argv: list[str]) -> SimpleNamespace:
        shell, _, script = argv
        assert shell == "sh"
        assert "anon_inode:kvm" in script
        return SimpleNamespace(stdout=f"{open_vms}\n")

    meminfo = f"MemTotal: 9 kB\nMemAvailable:   {free_kib} kB\nBuffers: 9 kB\n" if free_kib else ""
    session = SimpleNamespace(run=run, get=lambda _: meminfo.encode())
    console = SimpleNamespace(findings=lambda: list(findings(lines)))
    return cast("RunningHost", SimpleNamespace(role="a", console=console, session=session))


@pytest.mark.parametrize(
    ("host", "why"),
    [
        (between_cells(), None),
        (between_cells(OOM), None),
        (between_cells(OOM, OTHER, PANIC), f"its kernel complained: {OTHER}"),
        (between_cells(OTHER, open_vms="3"), f"its kernel complained: {OTHER}"),
        (between_cells(open_vms="3"), "a process still has a VM open (3 descriptors)"),
        (between_cells(open_vms="3", free_kib=0), "a process still has a VM open (3 descriptors)"),
        (
            between_cells(free_kib=524_287),
            "only 511 MiB of its memory are free, and a cell needs 512",
        ),
        (between_cells(free_kib=0), "its /proc/meminfo has no MemAvailable"),
    ],
)
def test_a_host_is_fit_for_another_cell_or_not(host: RunningHost, why: str | None) -> None:
    assert unfit(host) == (Problem(ProblemKind.HOST, why) if why else None)


def test_a_host_that_does_not_answer_is_not_fit() -> None:
    host = between_cells()

    def lost(_: list[str]) -> None:
        raise InfraError("lost a")

    host.session.run = lost  # type: ignore[assignment]
    assert unfit(host) == Problem(ProblemKind.HOST, "it does not answer: lost a")


@pytest.mark.parametrize("state", ["running", "paused", "crashed"])
def test_a_machine_that_stands_still_at_the_end_is_nobodys_silence(state: str) -> None:
    domain = SimpleNamespace(state=lambda: state)
    host = cast("RunningHost", SimpleNamespace(role="a", domain=domain))
    if state == "running":
        insist_running(host)
        return
    with pytest.raises(InfraError, match=f"the machine of a is {state} at the end of the watch"):
        insist_running(host)
