# SPDX-License-Identifier: Apache-2.0
"""What a swallowed host may not do, tried: refused, counted, and the host lives on.

The words are those of guest-images/kernels/reference/tree/Documentation/virt/caretaker.rst. L0
sees the pattern that is never read: the caretaker's memory begins with it.
"""

from __future__ import annotations

import pytest

from lab.caretaker.control import MAGIC
from lab.caretaker.probe_guest import FAIL_ENTRY, IO, LOADS, STORES, run_small
from lab.caretaker.swallow_proof import require_swallowed
from lab.deadline import Deadline
from lab.errors import InfraError
from lab.testing.swallowed import Boot, SwallowedHost

pytestmark = pytest.mark.arch("x86_64")

PAGE = 4096
EPERM, EIO, EFAULT, EINVAL, ENOSYS = "-1", "-5", "-14", "-22", "-38"
RUN, RELEASE, UNKNOWN = 1, 2, 0xFFF  # hypercalls
NO_CODE = 0xFFFF_FFFF_FFFF_FFFF  # SVM's exit for a VMCB that cannot be run

nightly = pytest.mark.tier("nightly")

# At CPL 3 there is no such instruction; one of privileged code asks below.
VMMCALL = """
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write(bytes.fromhex("0f01d9c3"))
ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
"""

# kexec_load(2) with one page of zeroes for so many bytes at each address, and then with nothing.
KEXEC = """
import ctypes, errno, sys
libc = ctypes.CDLL(None, use_errno=True)
page = ctypes.create_string_buffer(4096)
def load(at, size, count=1):
    segment = (ctypes.c_uint64 * 4)(ctypes.addressof(page), 4096, at, size)
    done = libc.syscall(246, ctypes.c_ulong(at), ctypes.c_ulong(count), segment, 62 << 16)
    return "taken" if done == 0 else errno.errorcode[ctypes.get_errno()]
for words in zip(sys.argv[1::2], sys.argv[2::2]):
    print(load(*(int(word, 0) for word in words)))
print(load(0, 0, 0))
"""


@pytest.mark.parametrize("store", [False, True], ids=["load", "store"])
def test_a_process_cannot_touch_private_memory(swallowed: SwallowedHost, store: bool) -> None:
    """Of tier ci."""
    grown = swallowed.counted("private")
    for offset in (0, swallowed.spare):
        before = swallowed.host.domain.peek(swallowed.region.start + offset, 8)
        touch = swallowed.caretaker.touch(offset, store=store)
        assert touch.refused, touch
        assert swallowed.host.domain.peek(swallowed.region.start + offset, 8) == before
    assert swallowed.host.domain.peek(swallowed.region.start, 4) == MAGIC
    assert grown() == [2]


def test_no_kernel_is_loaded_over_private_memory(swallowed: SwallowedHost) -> None:
    """Of tier ci. Linux refuses it; what is beside that memory, it takes."""
    first, end = swallowed.region.start, swallowed.region.start + swallowed.region.size
    around = (first - PAGE, swallowed.region.size + 2 * PAGE)
    over = ((first, PAGE), (end - PAGE, PAGE), (first - PAGE, 2 * PAGE), around)
    beside = ((first - PAGE, PAGE), (end, PAGE))
    places = [hex(word) for place in (*over, *beside) for word in place]
    grown = swallowed.counted("kexec_refused", "private")
    said = swallowed.host.session.check(["python3", "-I", "-c", KEXEC, *places])
    assert said.split() == ["EADDRNOTAVAIL"] * len(over) + ["taken"] * len(beside) + ["taken"]
    told = swallowed.host.session.check(["dmesg"])
    for at, size in over:
        assert f"refused a kexec segment at {at:#x}, {size:#x} bytes" in told
    assert swallowed.host.domain.peek(first, 4) == MAGIC
    assert grown() == [len(over), 0]


@nightly
def test_private_memory_is_not_listed_as_system_ram(
    swallowed: SwallowedHost,
) -> None:
    """By which loaders of kernels find room: kexec(8), and Linux for `kexec -s`."""
    ram = swallowed.host.session.check(["grep", "System RAM", "/proc/iomem"]).splitlines()
    spans = [[int(word, 16) for word in line.split()[0].split("-")] for line in ram]
    assert spans
    assert not [span for span in spans if swallowed.region.touches(span[0], span[1] + 1 - span[0])]


@nightly
@pytest.mark.parametrize("store", [False, True], ids=["load", "store"])
def test_a_process_cannot_touch_it_by_its_physical_address(
    swallowed: SwallowedHost, store: bool
) -> None:
    """Linux lets root map what is not System RAM."""
    grown = swallowed.counted("private")
    before = swallowed.host.domain.peek(swallowed.region.start + swallowed.spare, 8)
    touch = swallowed.caretaker.touch(swallowed.spare, store=store, physical=True)
    assert touch.refused, touch
    assert swallowed.host.domain.peek(swallowed.region.start + swallowed.spare, 8) == before
    assert grown() == [1]


@nightly
def test_the_kernel_cannot_touch_private_memory(swallowed: SwallowedHost) -> None:
    grown = swallowed.counted("private")
    first, spare = swallowed.region.start, swallowed.region.start + swallowed.spare
    assert swallowed.caretaker.do("read", first) == [EFAULT, "0x0"]
    assert swallowed.caretaker.do("read", spare, cpu=1) == [EFAULT, "0x0"]
    assert swallowed.caretaker.do("write", spare, 0x4242) == [EFAULT]
    assert swallowed.host.domain.peek(spare, 8) == bytes(8)
    assert grown() == [3]


@nightly
@pytest.mark.parametrize("code", [LOADS, STORES], ids=["load", "store"])
def test_no_guest_gets_private_memory_from_its_host(swallowed: SwallowedHost, code: bytes) -> None:
    grown = swallowed.counted("private")
    ended = run_small(swallowed.host.session, code, swallowed.host.by_guest(), private=True)
    assert (ended.exit, ended.said) == (FAIL_ENTRY, b"")
    assert swallowed.host.domain.peek(swallowed.region.start, 4) == MAGIC
    assert grown() == [1]


@nightly
def test_no_hypercall_takes_a_pointer_to_private_memory(swallowed: SwallowedHost) -> None:
    grown = swallowed.counted("hypercall_refused", "private")
    pages = (swallowed.region.start, swallowed.region.start + swallowed.region.size - PAGE)
    for page in pages:
        assert swallowed.caretaker.do("hypercall", page | RUN)[0] == EINVAL
    assert swallowed.caretaker.do("hypercall", (1 << 52) | RUN)[0] == EINVAL  # no memory at all
    assert grown() == [3, 2]


@nightly
def test_no_vmcb_names_private_memory(swallowed: SwallowedHost) -> None:
    grown = swallowed.counted("vmcb_refused")
    assert swallowed.caretaker.do("bad_vmcb", swallowed.region.start)[0] == EINVAL
    assert swallowed.caretaker.do("bad_vmcb", 0, swallowed.region.start)[0] == EINVAL
    assert grown() == [2]


@nightly
def test_a_bad_vmcb_comes_back_as_the_processor_refuses_it(swallowed: SwallowedHost) -> None:
    grown = swallowed.counted("vmcb_refused")
    assert swallowed.caretaker.do("bad_vmcb") == ["0", f"{NO_CODE:#x}", "0x1234"]
    # Page 0 is no VMCB: it intercepts nothing.
    assert swallowed.caretaker.do("hypercall", RUN)[0] == EINVAL
    assert grown() == [1]


@nightly
@pytest.mark.parametrize("deed", ["vmrun", "vmload", "vmsave", "clgi", "invlpga"])
def test_the_instructions_of_svm_are_not_the_hosts(swallowed: SwallowedHost, deed: str) -> None:
    """VMLOAD and VMSAVE take physical addresses, which no nested table is asked about."""
    grown = swallowed.counted("svm_refused")
    assert swallowed.caretaker.do(deed, swallowed.region.start) == [EFAULT]
    assert swallowed.host.domain.peek(swallowed.region.start, 4) == MAGIC
    assert grown() == [1]


@nightly
def test_msrs_that_decide_who_is_below_are_not_the_hosts(swallowed: SwallowedHost) -> None:
    vm_hsave_pa, vm_cr, apic_base = 0xC001_0117, 0xC001_0114, 0x1B
    grown = swallowed.counted("msr_refused", "private")
    was = swallowed.caretaker.do("rdmsr", vm_hsave_pa)
    assert swallowed.caretaker.do("wrmsr", vm_hsave_pa, swallowed.region.start) == [EIO]
    assert swallowed.caretaker.do("rdmsr", vm_hsave_pa) == was
    assert swallowed.caretaker.do("wrmsr", vm_cr, 1 << 4) == [EIO]
    assert swallowed.caretaker.do("wrmsr", apic_base, 0xFEE0_0900) == [EIO]  # out of x2APIC mode
    assert grown() == [3, 1]


@nightly
@pytest.mark.parametrize(
    "icr",
    [
        pytest.param(1 << 32 | 0x4500, id="init"),
        pytest.param(1 << 32 | 0x4600 | 0x9A, id="sipi"),
        pytest.param(0xC4500, id="init-to-others"),
        pytest.param(0x84500, id="init-to-all"),
        pytest.param(0x44500, id="init-to-self"),
        pytest.param(0xFFFF_FFFF << 32 | 0x4500, id="init-by-broadcast"),
        pytest.param(1 << 32 | 0x4D00, id="init-by-logical-address"),
        pytest.param(0xC4600 | 0x9A, id="sipi-to-others"),
        pytest.param(1 << 32 | 0x4200, id="smi"),
    ],
)
def test_no_cpu_is_taken_from_the_caretaker(swallowed: SwallowedHost, icr: int) -> None:
    grown = swallowed.counted("icr_refused")
    assert swallowed.caretaker.do("icr", icr) == ["0"]
    assert grown() == [1]


@nightly
@pytest.mark.parametrize("icr", [1 << 32 | 0x4400, 0xC4400], ids=["named", "to-others"])
def test_an_nmi_between_its_cpus_is_the_hosts_own(swallowed: SwallowedHost, icr: int) -> None:
    grown = swallowed.counted("icr_refused")
    assert swallowed.caretaker.do("icr", icr) == ["0"]
    assert grown() == [0]


@nightly
def test_unknown_hypercalls_are_refused(swallowed: SwallowedHost) -> None:
    grown = swallowed.counted("hypercall_refused")
    assert swallowed.caretaker.do("hypercall", UNKNOWN)[0] == ENOSYS
    assert swallowed.caretaker.do("hypercall", PAGE - 1)[0] == ENOSYS
    assert (
        swallowed.caretaker.do("hypercall", PAGE | UNKNOWN)[0] == EINVAL
    )  # a page that none is for
    assert grown() == [3]


@nightly
def test_a_process_has_no_hypercalls(swallowed: SwallowedHost) -> None:
    grown = swallowed.counted("hypercall_user", "hypercall_refused")
    said = swallowed.host.session.run(["python3", "-I", "-c", VMMCALL])
    assert said.status == 128 + 4, said  # SIGILL
    assert grown() == [1, 0]


@nightly
def test_a_host_that_is_only_ready_is_not_taken_for_swallowed(boot: Boot) -> None:
    """The control: the same ways lead to private memory, and none of the proofs holds."""
    swallowed = SwallowedHost.of(boot("caretaker=ready"))
    host = swallowed.host
    wanted, by = host.blueprint.kernel, Deadline.after(host.patience.command)
    with pytest.raises(InfraError, match="is not: 0 native, 1 native"):
        require_swallowed(host.session, host.domain, wanted, by)
    assert not any(cpu.in_guest for cpu in host.domain.cpus())
    assert swallowed.caretaker.touch().read[:4] == MAGIC
    assert swallowed.caretaker.touch(swallowed.spare, store=True).read == b"STORED!!"
    assert swallowed.host.domain.peek(swallowed.region.start + swallowed.spare, 8) == b"STORED!!"
    assert swallowed.caretaker.touch(swallowed.spare, physical=True).read == b"STORED!!"
    assert swallowed.caretaker.do("read", swallowed.region.start)[0] == "0"
    ended = run_small(host.session, LOADS, host.by_guest(), private=True)
    assert (ended.exit, ended.said) == (IO, MAGIC[:2])


@nightly
def test_a_caretaker_that_hides_nothing_is_seen_through(boot: Boot) -> None:
    """The mutant: all CPUs are below, and the tests above must see that it is of no use."""
    swallowed = SwallowedHost.of(boot("caretaker=on", "caretaker_mutant=open", kernel="mutant"))
    host = swallowed.host
    assert swallowed.caretaker.native_cpus() == ([], host.blueprint.request.vcpus)
    by = Deadline.after(host.patience.command)
    with pytest.raises(InfraError, match="this caretaker hides nothing"):
        require_swallowed(host.session, host.domain, host.blueprint.kernel, by)
    with pytest.raises(AssertionError, match=r"read=b.STORED"):
        test_a_process_cannot_touch_private_memory(swallowed, store=True)
    with pytest.raises(AssertionError, match="taken"):
        test_no_kernel_is_loaded_over_private_memory(swallowed)
    with pytest.raises(AssertionError):
        test_the_kernel_cannot_touch_private_memory(swallowed)
