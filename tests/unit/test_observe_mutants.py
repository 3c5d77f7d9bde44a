# SPDX-License-Identifier: Apache-2.0
"""The guest's own C code and its mutants: each is caught by the check that bears its name."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.observe.beacon import PAGE
from lab.observe.eye import Eye
from lab.observe.identity import Undisturbed
from lab.observe.search import Search, sighted
from lab.observe.window import Window
from lab.testing.simulated_guest import CANARY, KEY
from lab.verdict.evidence import Evidence, Limits
from lab.verdict.judge import judge
from lab.verdict.verdict import Check, Lost, Survived, Unproven

SUPPORT = Path(__file__).parents[1] / "support"
L2 = SUPPORT.parents[1] / "guest-images" / "l2"
BOOT = b"a boot of sixten"
SECRETS = f"beacon={CANARY.hex()}:{KEY.hex()}"
WATCHED, SPARE = 0, PAGE
PERIOD_NS = 1_000_000
STEP_NS = 50_000_000


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: apt-get install gcc")
    made = tmp_path_factory.mktemp("beacon") / "driver"
    source = SUPPORT / "beacon_driver.c"
    command = [compiler, "-std=gnu11", "-O1", "-Wall", "-Werror", "-I", str(L2), "-o", str(made)]
    subprocess.run([*command, str(source)], check=True)
    return made


class CompiledGuest:
    """A guest whose beats come from `beacon.h`; a look lets a step of time pass."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.now_ns = 3_000_000_000
        self._process = process

    def clock(self) -> float:
        """Return L0's time."""
        return self.now_ns / 1e9

    def read(self, phys: int, size: int) -> bytes:
        """Let the guest beat up to now, and return its page, or the spare one of a mutant."""
        assert phys in {WATCHED, SPARE}
        assert size == PAGE
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        beats = range(self.now_ns, self.now_ns + STEP_NS, PERIOD_NS)
        self.now_ns += STEP_NS
        self._process.stdin.write("\n".join(map(str, [*beats, 0, ""])).encode())
        self._process.stdin.flush()
        return self._process.stdout.read(2 * PAGE)[phys : phys + PAGE]


@contextmanager
def compiled(driver: Path, mutant: str) -> Iterator[CompiledGuest]:
    pipe = subprocess.PIPE
    with subprocess.Popen([driver, f"{SECRETS} {mutant}"], stdin=pipe, stdout=pipe) as process:
        yield CompiledGuest(process)


def watched(driver: Path, mutant: str) -> Evidence:
    with compiled(driver, mutant) as guest:
        eye = Eye(guest.read, {0: WATCHED}, KEY, CANARY, boot_id=BOOT, clock=guest.clock)
        began = guest.clock()
        for _ in range(16_000_000_000 // STEP_NS):
            eye.look()
        end = guest.clock()
        pages = sighted(guest.read, (WATCHED, SPARE), KEY, lambda: None, (WATCHED,))
        return Evidence(
            trails=eye.found().trails,
            expected_vcpus=1,
            baseline=Window(began, began + 2),
            end=end,
            limits=Limits(patience=5.0),
            outside_eye=True,
            disruption=Undisturbed(),
            search=Search(pages, (WATCHED,)),  # it has no more memory than these pages
        )


@pytest.mark.parametrize("mutant", ["", "mutant=freeze:3000:4500", "mutant=chain:90000"])
def test_a_guest_that_is_not_yet_wrong_survives(driver: Path, mutant: str) -> None:
    found = judge(watched(driver, mutant))
    assert isinstance(found, Survived), found.reason
    (figures,) = found.figures.vcpus
    assert figures.own_max_gap_s == figures.guest_gap_s
    assert (figures.ram_mib or 0) > 4096 / 256  # round all of its region


def test_a_guest_that_is_not_to_verify_ram_says_so(driver: Path) -> None:
    found = judge(watched(driver, "beacon.ram=0"))
    assert isinstance(found, Survived), found.reason
    assert "it verifies none of its RAM" in found.reason


@pytest.mark.parametrize(
    ("mutant", "check"),
    [
        ("mutant=freeze:3000:6000", Check.SILENCE),
        ("mutant=freeze:3000:60000", Check.SILENCE),
        ("mutant=rewind:4000", Check.REWIND),
        ("mutant=rewind:3017", Check.REWIND),
        ("mutant=restart:3000", Check.RESTART),
        ("mutant=canary:3000", Check.CANARY),
        ("mutant=chain:3000", Check.CHAIN),
        ("mutant=bit:3000", Check.RAM),
        ("mutant=page:3000", Check.RAM),
        ("mutant=ram:3000", Check.RAM),
        ("mutant=still:3000", Check.CLOCK_RATE),
        ("mutant=slow:3000", Check.CLOCK_RATE),
        ("mutant=ahead:3000:500", Check.CLOCK_STEP),
        ("mutant=ahead:3000:6000", Check.GUEST_SILENCE),
        ("mutant=back:3000:500", Check.CLOCK),
        ("mutant=rare:3000", Check.BEAT_RATE),
    ],
)
def test_a_mutant_is_caught_by_its_check(driver: Path, mutant: str, check: Check) -> None:
    found = judge(watched(driver, mutant))
    assert (type(found), found.check) == (Lost, check), found.reason


@pytest.mark.parametrize(
    ("mutant", "check"),
    [("mutant=move:3000", Check.ELSEWHERE), ("mutant=split:3000", Check.SPLIT_BRAIN)],
)
def test_a_guest_on_another_page_is_told_from_a_dead_one(
    driver: Path, mutant: str, check: Check
) -> None:
    found = judge(watched(driver, mutant))
    assert (type(found), found.check) == (Unproven, check), found.reason
    assert f"{SPARE:#x}" in found.reason
