# SPDX-License-Identifier: Apache-2.0
"""Evidence of a cell: a guest says its beacon's key on its console, and it must not be kept."""

from __future__ import annotations

import gzip
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from lab.config.cell_request import CellRequest
from lab.config.model import Accel, DisruptionKind, GuestKind, LabConfig, VmmKind
from lab.errors import InfraError
from lab.guest.guest import GuestPlan
from lab.host.host import RunningHost
from lab.observe.eye import Found, Mark, Sight
from lab.redact import redacted, redacted_bytes
from lab.runner.collect import collect, collect_boot
from lab.runner.course import Course
from lab.runner.filing import filed

PLAN = GuestPlan(name="g", kind=GuestKind.LINUX, vmm=VmmKind.QEMU)
LAB = LabConfig.model_validate({"kernel": {"stock": {"recipe": "stock"}}})
SPOKEN = f"quiet beacon={PLAN.canary.hex()}:{PLAN.key.hex()} rdinit=/init"
CELL = CellRequest(disruption=DisruptionKind.VMM_KILL).cell(LAB, accel=Accel.TCG)
SIGHT = Sight(9, 50.0, 0.005, 0.01, 0, 1, f"lost during: qemu -append {SPOKEN}")


def _refuse(*_: object, **__: object) -> str:
    raise InfraError(f"'dmesg {SPOKEN}' ended with 1")


# Everything that a host can be asked for tells the guest's command line, and so its secrets.
TALKATIVE = SimpleNamespace(
    console=SimpleNamespace(lines=lambda: ["Linux version 7.3.4", SPOKEN]),
    domain=SimpleNamespace(xml=lambda: f"<domain><cmdline>{SPOKEN}</cmdline></domain>"),
    session=SimpleNamespace(
        get=lambda *_, **__: f"\xff\x00 Kernel command line: {SPOKEN}\r\n".encode("latin-1"),
        check=_refuse,
    ),
)


def test_no_file_of_the_evidence_has_a_secret_of_the_guest(tmp_path: Path) -> None:
    collect(tmp_path, cast("RunningHost", TALKATIVE), PLAN)
    course = Course(found=Found({}, (Mark(SPOKEN, 1.0),), SIGHT))
    assert filed(tmp_path, CELL, course) is None

    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(kept) == {
        "host-console.log", "domain.xml", "guest-console.log", "vmm.log", "missing.txt",
        "beats.json.gz",
    }  # fmt: skip
    kept["beats.json.gz"] = gzip.decompress(kept["beats.json.gz"])
    for name, raw in kept.items():
        assert PLAN.key.hex().encode() not in raw, name
        assert PLAN.canary.hex().encode() not in raw, name
        assert b"beacon=[removed]" in raw, name
    assert kept["guest-console.log"].startswith(b"\xff\x00 Kernel")
    assert kept["guest-console.log"].endswith(b" rdinit=/init\r\n")


def test_the_console_of_a_host_that_did_not_come_up_is_saved(tmp_path: Path) -> None:
    console, kept = tmp_path / "console.log", tmp_path / "evidence" / "cell"
    collect_boot(kept, console)
    collect_boot(kept, None)
    assert not kept.exists()
    console.write_text(f"Kernel panic - not syncing\n{SPOKEN}\n")
    collect_boot(kept, console)
    said = (kept / "host-console.log").read_text()
    assert said == "Kernel panic - not syncing\nquiet beacon=[removed] rdinit=/init\n"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (f"beacon={'a1' * 16}:{'b2' * 7}", "beacon=[removed]"),
        (f"beacon={'a1' * 9}", "beacon=[removed]"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA", "[removed]"),
        ("git https://me:token@example.org/linux", "git https://[removed]@example.org/linux"),
        ("qemu+ssh://me@there:22/system", "qemu+ssh://me@there:22/system"),
        ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
        (f"BEACON vcpu=0 boot={'c3' * 16}", f"BEACON vcpu=0 boot={'c3' * 16}"),
    ],
)
def test_secrets_go_even_when_cut_short_and_nothing_else_goes(said: str, told: str) -> None:
    assert redacted(said) == told
    assert redacted_bytes(said.encode()) == told.encode()


def test_no_message_and_no_repr_has_a_secret_of_the_guest() -> None:
    assert PLAN.key.hex() not in str(InfraError(f"it ended:\n{SPOKEN}", hint="look"))
    assert repr(PLAN.key) not in repr(PLAN)
    assert repr(PLAN.canary) not in repr(PLAN)
