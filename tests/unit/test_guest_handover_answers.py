# SPDX-License-Identifier: Apache-2.0
"""What the caretaker's hand-over takes for an answer: nobody there is one, silence is none."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from lab.deadline import Deadline
from lab.errors import InfraError
from lab.guest.handover.table import orphaning_for
from lab.ssh.session import Result

HELD = "0 held apic 1 entries 12 exit 0x7b info 0x0 0x0 rip 0x402208"
BY = Deadline.after(1)


def guest(*, listed: str = "", says: Result | None = None, lives: bool = True) -> Any:
    """A guest whose caretaker lists so many vCPUs, and whose VMM says so much."""
    answer = says or Result("ctl", 1, "", "cannot connect")

    def run(argv: list[str], **_: object) -> Result:
        return Result("cat", 0, listed, "") if argv[0] == "cat" else answer

    host = SimpleNamespace(session=SimpleNamespace(run=run), role="a")
    plan = SimpleNamespace(name="g", socket="vmm.sock", vcpus=1)
    return SimpleNamespace(host=host, plan=plan, vmm_lives=lives)


def status(one: Any) -> Any:
    return orphaning_for("resident").status(one, BY)


def test_a_guest_that_nobody_holds_and_no_vmm_runs_is_nowhere() -> None:
    found = status(guest(lives=False))
    assert (found.owner, found.vcpus) == ("GONE", ())


def test_a_vmm_that_lives_and_does_not_answer_is_no_answer() -> None:
    with pytest.raises(InfraError, match="the VMM of g lives, but gives no status: cannot connect"):
        status(guest())


def test_a_vmm_that_answers_has_the_guest() -> None:
    said = json.dumps({"state": "running", "vcpus": [{"index": 0, "state": "running"}]})
    found = status(guest(says=Result("ctl", 0, said, "")))
    assert (found.owner, found.generation, len(found.vcpus)) == ("PRESENT", 1, 1)


def test_each_vcpu_of_the_caretaker_has_its_line() -> None:
    found = status(guest(listed=f"{HELD}\n{HELD.replace('0 held', '1 parked')}\n"))
    assert [vcpu.state for vcpu in found.vcpus] == ["RUNNING", "PAUSED"]
    assert found.vcpus[0].pc == "0x402208"


@pytest.mark.parametrize("line", ["0 lost", HELD.replace("held", "sleeping"), f"x{HELD}"])
def test_a_line_that_cannot_be_read_is_no_missing_vcpu(line: str) -> None:
    with pytest.raises(InfraError, match="has a line that cannot be read"):
        status(guest(listed=f"{HELD}\n{line}\n"))
