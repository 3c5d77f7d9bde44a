# SPDX-License-Identifier: Apache-2.0
"""One cell, from a host to a verdict: start, watch, disturb, watch on, judge."""

from __future__ import annotations

import time
from pathlib import Path

from lab.config.model import Cell, Confidential, DisruptionKind, OrphanPolicy, Watch
from lab.deadline import pause
from lab.disruption.deliver import DEEDS, Deed
from lab.disruption.delivered import Delivered
from lab.errors import InfraError, UnavailableError
from lab.guest.guest import GuestPlan, RunningGuest
from lab.guest.vmms.protocol import Vmm
from lab.guest.vmms.table import driver_for
from lab.host.health import complaint, stall
from lab.host.host import RunningHost
from lab.runner import chaos
from lab.runner.adoption import Fate, see_through
from lab.runner.collect import collect
from lab.runner.following import Following, followed
from lab.runner.memory import judge_memory
from lab.runner.result import CellResult
from lab.runner.settling import settle
from lab.runner.watch import Watched, begun, look_again
from lab.verdict.calibration import calibration
from lab.verdict.evidence import Evidence, Limits, Tally
from lab.verdict.problem import ProblemKind
from lab.verdict.verdict import Check

_NS = 1_000_000_000
_LATE_S = 0.15  # a ring holds 191 beats, of a millisecond each
_MS = 1_000_000


def run_cell(
    cell: Cell,
    host: RunningHost,
    watch: Watch,
    evidence: Path,
    result: CellResult,
    *,
    words: tuple[str, ...] = (),
    deed: Deed | None = None,
) -> None:
    """Do what `cell` says on `host`, and fill in `result`; evidence is kept whatever happens.

    Args:
        cell: What to do.
        host: Where; nothing else runs on it.
        watch: How long to look, and how often.
        evidence: The folder for what is kept.
        result: What came of it.
        words: More words for the guest's command line: how a mutant is made.
        deed: What to do instead of the cell's disruption: a deed that only pretends.

    Raises:
        UnavailableError: the cell is for a confidential guest of a kind that cannot be started.
        InfraError: something of the lab broke; this says nothing about the kernel under test.
    """
    hidden = cell.options.confidential
    if hidden is Confidential.SEV_SNP:  # an ordinary guest must not bear its name
        raise UnavailableError(
            f"{cell.id}: this lab cannot start a guest that is {hidden.value}",
            hint=f'expect = {{unavailable = "why"}} in {cell.topology}.toml',
        )
    plan = GuestPlan(
        name=f"guest-{time.monotonic_ns() // _MS}",
        kind=cell.guest,
        vmm=cell.vmm,
        vcpus=cell.vcpus,
        memory_mib=cell.memory_mib,
        words=(*words, *chaos.words_of(cell), *beats_of(cell)),
        protected=hidden is Confidential.PKVM,
        orphan_policy=cell.options.policy,
    )
    since = host.console.mark()
    try:
        if cell.options.memory:
            judge_memory(plan, host, watch, result)
        else:
            driver = driver_for(cell.vmm, cell.options.orphaning)
            _judge_running(driver, plan, host, watch, result, deed=deed or DEEDS[cell.disruption])
        voids = result.evidence.voids if result.evidence else ()
        for problem in (complaint(host, since, cell.disruption), stall(host, since, voids)):
            if problem is not None:
                result.problems.append(problem)
    finally:
        with result.phase("evidence"):
            collect(evidence, host, plan, result)


def beats_of(cell: Cell) -> tuple[str, ...]:
    """Give the words that have a guest beat more slowly, where it may run through a kexec.

    QEMU answers no peek for 0.2 to 0.4 s while the next kernel starts, as was seen under TCG; a
    ring of 191 beats would be overrun, and what came between is then not proven.
    """
    through = cell.disruption.loads_kernel and cell.options.orphaning
    return ("beacon.period_us=4000",) if through else ()


def _judge_running(
    driver: Vmm,
    plan: GuestPlan,
    host: RunningHost,
    watch: Watch,
    result: CellResult,
    *,
    deed: Deed,
) -> None:
    with (
        chaos.busy(result.cell, host),
        begun(driver, host, plan, watch, result) as (guest, seen, baseline),
    ):
        driver, handover = followed(driver, seen)
        chaos.wait_for_the_moment(result)
        delivered = _struck(guest, driver, seen, deed, result)
        with result.phase("watch"):
            seen.eye.mark("after")
            pause(watch.after_s)
        fate = Fate(delivered.guest, time.monotonic())
        insist_running(host)
        gone = not fate.guest.vmm_lives
        if handover.orphans and gone:
            fate = see_through(
                fate.guest,
                handover,
                policy=result.cell.options.policy,
                watch=watch,
                seen=seen,
                result=result,
            )
            insist_running(host)
        tallies = tallies_of(result.cell, delivered, handover, gone=gone)

        def known(end: float) -> Evidence:
            result.found = seen.eye.found()
            return Evidence(
                trails=result.found.trails,
                expected_vcpus=result.cell.vcpus,
                baseline=baseline,
                end=end,
                limits=Limits(patience=watch.patience_s),
                outside_eye=True,
                disruption=delivered.witness,
                parked=fate.parked,
                voids=seen.jitter.voids,
                tallies=tallies,
                handed=handover.began,
            )

        settle(
            fate.guest, seen, watch, result,
            known=known, end=fate.end, resumed=fate.resumed, why="it was parked",
        )  # fmt: skip
    _look_at_the_eye(result)
    _calibrate(result)
    _end(fate.guest)


def _struck(
    guest: RunningGuest, driver: Vmm, seen: Watched, deed: Deed, result: CellResult
) -> Delivered:
    cell = result.cell
    with result.phase("disruption"):
        result.struck_at = guest.host.console.mark().line
        seen.eye.mark(cell.disruption.value)
        result.delivered = deed(guest, driver, cell.options)
        if cell.disruption is DisruptionKind.CPR_TRANSFER:
            look_again(seen, result.delivered.guest)
    return result.delivered


def tallies_of(
    cell: Cell, delivered: Delivered, handover: Following, *, gone: bool
) -> tuple[Tally, ...]:
    """Return what was wanted how often, and how often the witnesses counted it.

    Args:
        cell: What was wanted.
        delivered: What was done to the guest.
        handover: What counted the adoptions.
        gone: The VMM was gone when the watch ended.
    """
    found = []
    kexecs = cell.options.kexecs if cell.disruption is DisruptionKind.KEXEC else 0
    if kexecs:
        found.append(Tally("kexecs", kexecs, int(delivered.facts.get("kexecs", 0))))
    if handover.orphans:
        adopted = cell.options.policy is not OrphanPolicy.KILL and gone
        wanted = max(kexecs, 1) if adopted else 0
        found.append(Tally("adoptions", wanted, handover.adoptions))
    return tuple(found)


def insist_running(host: RunningHost) -> None:
    """Insist that the machine under a host was left running: else every guest of it is silent.

    Raises:
        InfraError: libvirt says that it is not.
    """
    state = host.domain.state()
    if state != "running":
        raise InfraError(f"{host.role} is {state} at the end of the watch; nobody asked it to be")


def _look_at_the_eye(result: CellResult) -> None:
    """Say whether a ring overran because L0 looked late: nothing in L1 can hold up a look."""
    assert result.found is not None and result.verdict is not None  # noqa: S101, PT018
    apart = result.found.sight.longest_s
    if result.verdict.check is Check.OVERRUN and apart > _LATE_S:
        result.add(ProblemKind.VOID, f"two looks were {apart * 1000:.0f} ms apart")


def _calibrate(result: CellResult) -> None:
    """Compare the silence that was measured with the stop as L1 measured it."""
    if result.cell.disruption is not DisruptionKind.VCPU_STOP:
        return
    assert result.delivered is not None and result.verdict is not None  # noqa: S101, PT018
    facts = result.delivered.facts
    inner, outer = (int(float(facts[k]) * _MS) for k in ("stop_inner_ms", "stop_outer_ms"))
    for vcpu in result.verdict.figures.vcpus:
        found = calibration(int(vcpu.guest_gap_s * _NS), inner, outer)
        result.facts[f"calibration_vcpu{vcpu.vcpu}"] = found.reason
        if not found.right and not found.off_ns:
            result.add(ProblemKind.VOID, found.reason)
        if not found.right:
            result.add(ProblemKind.FIGURES, f"calibration, vCPU {vcpu.vcpu}: {found.reason}")


def _end(guest: RunningGuest) -> None:
    """End the VMM and whoever holds the guest, so that the host can be used again."""
    if guest.host.tainted or not guest.vmm_or_keeper_lives:
        return
    try:
        guest.kill()
    except InfraError as e:
        guest.host.taint(f"its guest could not be ended: {e}")
