# SPDX-License-Identifier: Apache-2.0
"""What a probe of an unavailable cell asks, and what of its answer is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.config.model import (
    Accel,
    Arch,
    Confidential,
    DisruptionKind,
    HostMode,
    Options,
    Unavailable,
)
from lab.errors import InfraError
from lab.host import kexec
from lab.runner.unavailable import Probed, probed
from lab.ssh.session import Result
from tests.support.one_host_pool import CELL, pool_on


@pytest.mark.parametrize("size", [2000, 2001])
def test_of_what_a_probe_saw_so_much_is_kept(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    long = "x" * size
    told = probed(
        pool_on(Accel.KVM, answer=Result("c", 1, long, "")),
        CELL,
        Unavailable(reason="w", probe="p"),
    )
    assert told.saw == f"{long[:2000]}\nstatus 1"
    hidden = CELL.model_copy(update={"options": Options(confidential=Confidential.PKVM)})
    listed = probed(
        pool_on(Accel.KVM, answer=Result("c", 0, long, "")), hidden, Unavailable(reason="w")
    )
    assert listed.saw == f"{long[:2000]}\nno object of pKVM's among those it lists"

    def load(*_: object, **__: object) -> None:
        raise InfraError(f"kexec_file_load failed: {long}")

    monkeypatch.setattr(kexec, "load", load)
    request = replace(CELL.request, arch=Arch.ARM64, mode=HostMode.PROTECTED)
    cell = CELL.model_copy(update={"request": request, "disruption": DisruptionKind.KEXEC})
    refused = probed(pool_on(Accel.KVM), cell, Unavailable(reason="w"))
    assert len(refused.saw) == 2000


def test_a_probe_that_saw_nothing_says_so() -> None:
    why = Unavailable(reason="no machine has it")
    assert Probed("p", "", available=False).why(why) == "no machine has it; p: nothing"
    assert Probed("p", "a\nb\n", available=False).why(why) == "no machine has it; p: b"


@pytest.mark.parametrize(
    ("mode", "disruption"),
    [
        (HostMode.PROTECTED, DisruptionKind.VMM_KILL),
        (HostMode.NVHE, DisruptionKind.KEXEC),
    ],
)
def test_only_kexec_in_protected_mode_has_a_probe_of_its_own(
    mode: HostMode, disruption: DisruptionKind
) -> None:
    request = replace(CELL.request, arch=Arch.ARM64, mode=mode)
    cell = CELL.model_copy(update={"request": request, "disruption": disruption})
    with pytest.raises(InfraError, match="there is no probe that could say so"):
        probed(pool_on(Accel.KVM), cell, Unavailable(reason="x"))


def test_a_probe_is_a_command_of_the_shell() -> None:
    pool, asked = pool_on(Accel.KVM), []

    def run(argv: list[str], **_: object) -> Result:
        asked.append(argv)
        return Result("c", 0, "", "")

    pool.host.session.run = run
    assert probed(pool, CELL, Unavailable(reason="x", probe="grep a b")).available
    assert asked == [["sh", "-c", "grep a b"]]
