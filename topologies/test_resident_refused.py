# SPDX-License-Identifier: Apache-2.0
"""What is refused before a kexec that a guest is to outlive: it runs on, and its VMM has it again.

That the right kernel is not refused, and the guest lives, are cells of x86_64-reference.toml.
"""

from __future__ import annotations

import re
import secrets
import struct
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from lab.config.host_request import HostRequest
from lab.config.model import KexecLoad
from lab.deadline import Deadline
from lab.errors import InfraError
from lab.guest.handover.table import orphaning_for
from lab.host import kexec as kexecs
from lab.host.kexec import Loaded
from lab.runner.lab_session import LabSession
from lab.testing.resident import BZIMAGE, Resident
from lab.testing.swallowed import Boot, SwallowedHost

pytestmark = [
    pytest.mark.tier("nightly"),
    pytest.mark.arch("x86_64"),
    pytest.mark.timeout(1800),
    pytest.mark.twin("test_a_kernel_that_asks_nothing_of_the_next_loses_the_guest"),
]

CHUNK = struct.pack("<II", 0x4B415443, 16)  # in kernel_info: the caretaker's mark, and its size
FEATURES = 1  # behind the version
OTHER = "/run/lab/other-bzImage"

# Memory twice, the vCPU twice, the session again; it is finished, and then the vCPU once more.
AGAIN = """
import errno, os, sys
sys.path.insert(0, "/lab/labvmm.pyz")
from labvmm.commands import resident_adopt as tokens
from labvmm.state import liveupdate as luo
def said(act, *words):
    try:
        act(*words)
        return 0
    except OSError as e:
        return errno.errorcode[e.errno]
device = luo.open_device()
session = luo.retrieve(device, sys.argv[1])
for token in (tokens.RAM, tokens.RAM, tokens.FIRST_VCPU, tokens.FIRST_VCPU):
    print(said(luo.retrieve_fd, session, token))
print(said(luo.retrieve, device, sys.argv[1]))
print(said(luo.finish, session))
print(said(luo.retrieve_fd, session, tokens.FIRST_VCPU))
"""


@pytest.fixture
def resident(swallowed: SwallowedHost, lab_session: LabSession) -> Iterator[Resident]:
    """Return a guest that runs under KVM, and has to live at the end."""
    with ExitStack() as stack:
        guest = Resident.start(swallowed.host, lab_session.lab.watch, stack)
        yield guest
        guest.insist_unmoved()


def without(cmdline: str, word: str, instead: str = "") -> str:
    """Return the command line without a word."""
    changed = re.sub(rf"(?<!\S){word}(?!\S)", instead, cmdline)
    assert changed != cmdline
    return changed


def image_with(guest: Resident, old: bytes, new: bytes) -> str:
    """Make an image in the host that differs from its own kernel's there."""
    session = guest.host.session
    script = (
        "import sys; a, b, old, new = sys.argv[1:]; image = open(a, 'rb').read(); "
        "old, new = map(bytes.fromhex, (old, new)); assert image.count(old) == 1, image.count(old);"
        "open(b, 'wb').write(image.replace(old, new))"
    )
    session.check(["python3", "-I", "-c", script, BZIMAGE, OTHER, old.hex(), new.hex()])
    return OTHER


@pytest.mark.parametrize(
    ("word", "instead", "why"),
    [
        pytest.param("caretaker=on", "", "no caretaker=on or =ready", id="no-caretaker"),
        pytest.param("caretaker=on", "caretaker=off", "no caretaker=on or =ready", id="off"),
        pytest.param("kho=on", "", "no kho=on", id="no-kho"),
        pytest.param("kho=on", "kho=on kho=off", "no kho=on", id="kho-off-later"),
        pytest.param("liveupdate=on", "", "no liveupdate=on", id="no-liveupdate"),
    ],
)
def test_a_kernel_that_would_not_look_for_it_is_not_entered(
    resident: Resident, word: str, instead: str, why: str
) -> None:
    resident.make_resident()
    cmdline = without(resident.host.cmdline(nonce="0" * 16), word, instead)
    resident.load("-s", cmdline=cmdline)
    resident.insist_kexec_refused(f"the next kernel's command line has {why}")


def test_kexec_to_another_caretaker_version_is_refused(resident: Resident) -> None:
    mine = resident.host.session.check(["cat", "/sys/kernel/caretaker/version"])
    handover = int(mine) << 8 | 1
    resident.make_resident()
    other = image_with(
        resident,
        CHUNK + struct.pack("<I", handover),
        CHUNK + struct.pack("<I", handover + 1),
    )
    resident.load("-s", image=other)
    resident.insist_kexec_refused("the next kernel has a caretaker of another version")


def test_kexec_to_a_kernel_that_knows_less_is_refused(resident: Resident) -> None:
    """What the caretaker below has is a bit each; an image that has none of them knows none."""
    mine = resident.host.session.check(["cat", "/sys/kernel/caretaker/version"])
    version = CHUNK + struct.pack("<I", int(mine) << 8 | 1)
    resident.make_resident()
    other = image_with(
        resident, version + struct.pack("<I", FEATURES), version + struct.pack("<I", 0)
    )
    resident.load("-s", image=other)
    resident.insist_kexec_refused("the caretaker has what the next kernel does not know")


def test_a_kernel_without_a_caretaker_is_not_entered(
    resident: Resident, lab_session: LabSession, swallowed_request: HostRequest
) -> None:
    stock = lab_session.images.outfit(
        lab_session.lab.kernel_for("stock"), swallowed_request.arch
    ).kernel.image
    resident.host.session.put(stock, OTHER)
    resident.make_resident()
    resident.load("-s", image=OTHER)
    resident.insist_kexec_refused("the next kernel has no caretaker")


def test_a_kernel_that_was_not_loaded_by_file_is_not_entered(resident: Resident) -> None:
    resident.load("-c")
    resident.make_resident()  # checked when it is entered, not when it is loaded
    resident.insist_kexec_refused(
        "the next kernel was not loaded with -s, and would not know of a vCPU"
    )


def test_what_was_preserved_must_be_there_in_the_end(resident: Resident) -> None:
    resident.load("-s")
    resident.make_resident()
    resident.labvmm("ctl", "--socket", resident.sockets[-1], "stop")
    assert resident.vcpu_states() == []
    resident.insist_kexec_refused("a vCPU that is preserved was stopped")
    resident.cancel()
    assert resident.vmm_says() == "running"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        pytest.param(["--cpus", "0"], "No such device or address", id="boot-cpu"),
        pytest.param(["--cpus", "7"], "No such device or address", id="no-cpu"),
        pytest.param(["--cpus", "1", "1"], "1 vCPUs need as many --cpus, not 2", id="too-many"),
        pytest.param(["--session", "x" * 64], "1 to 63 ASCII characters", id="no-name"),
    ],
)
def test_a_guest_that_is_not_taken_runs_on(resident: Resident, words: list[str], why: str) -> None:
    """Its VMM has handed it over by then, and resumes it without being asked."""
    with pytest.raises(InfraError, match=why):
        resident.make_resident(*words)
    assert resident.vmm_says() == "running"


def test_a_guest_runs_on_if_somebody_else_has_luo(resident: Resident) -> None:
    holds = "exec 3<>/dev/liveupdate; exec sleep 600"
    pid = resident.host.session.spawn(["sh", "-c", holds], "/run/lab/luo.log")
    try:
        with pytest.raises(InfraError, match="/dev/liveupdate' cannot be opened: Device or res"):
            resident.make_resident()
    finally:
        resident.kill_process(pid)
    assert resident.vmm_says() == "running"


def test_a_host_without_kho_says_so_and_the_guest_runs_on(
    boot: Boot, lab_session: LabSession
) -> None:
    host = boot("caretaker=on", "kho=off")
    with ExitStack() as stack:
        guest = Resident.start(host, lab_session.lab.watch, stack)
        with pytest.raises(InfraError, match="/dev/liveupdate' cannot be opened"):
            guest.make_resident()
        assert guest.vmm_says() == "running"
        guest.insist_unmoved()


def test_the_cpu_of_a_resident_vcpu_is_not_started(resident: Resident) -> None:
    resident.make_resident()
    started = "echo 1 >/sys/devices/system/cpu/cpu1/online"
    said = resident.host.session.run(["sh", "-c", started])
    assert "I/O error" in said.stderr, said
    assert resident.cpus() == "0"


def test_too_little_kho_scratch_is_refused_at_kexec_load(
    boot: Boot, lab_session: LabSession
) -> None:
    host = boot("caretaker=on", "kho_scratch=4M,4M,4M")
    with ExitStack() as stack:
        guest = Resident.start(host, lab_session.lab.watch, stack)
        guest.make_resident()
        with pytest.raises(InfraError, match="kexec"):
            guest.load("-s")
        said = host.session.run(["kexec", "-e", "-x"])
        assert said.status != 0
        guest.insist_unmoved()


def test_a_preserved_vcpu_is_retrieved_once(
    swallowed: SwallowedHost, lab_session: LabSession
) -> None:
    """Memory, the control, is retrieved again: it can be mapped twice. A vCPU would run twice."""
    host, by = swallowed.host, Deadline.after(swallowed.host.patience.kexec)
    with ExitStack() as stack:
        guest = Resident.start(host, lab_session.lab.watch, stack)
        guest.make_resident()
        kexecs.jump(host, kexecs.load(host, how=KexecLoad.FILE_LOAD, by=by), by)
        said = host.session.check(["python3", "-I", "-c", AGAIN, guest.session])
        assert said.split() == ["0", "0", "0", "EALREADY", "EINVAL", "0", "ENOENT"]
        assert guest.vcpu_states() == []
        assert guest.cpus() == "0-1"


def test_a_kernel_that_asks_nothing_of_the_next_loses_the_guest(
    boot: Boot, lab_session: LabSession
) -> None:
    """The mutant: it enters whatever is loaded, and the tests above would be red."""
    host = boot("caretaker=on", "caretaker_mutant=trusting", kernel="mutant")
    nonce = secrets.token_hex(8)
    with ExitStack() as stack:
        guest = Resident.start(host, lab_session.lab.watch, stack)
        guest.make_resident()
        guest.load("-s", cmdline=without(host.cmdline(nonce=nonce), "caretaker=on"))
        loaded = Loaded(nonce, host.runs, KexecLoad.FILE_LOAD)
        kexecs.jump(host, loaded, Deadline.after(host.patience.kexec))
        with pytest.raises(InfraError, match="ended at once"):
            orphaning_for("resident").adopt(guest.guest, host.by_guest())
