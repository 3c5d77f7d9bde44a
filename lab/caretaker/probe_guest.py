# SPDX-License-Identifier: Apache-2.0
"""A guest of a few instructions in real mode, run in an x86-64 L1 until its first exit to us."""

from __future__ import annotations

import json
from dataclasses import dataclass

from lab.caretaker.control import MEMORY
from lab.deadline import Deadline
from lab.errors import InfraError
from lab.ssh.session import Session

IO, FAIL_ENTRY = 2, 9  # KVM_EXIT_*
DATA_AT = 0x8000

# mov ax, [0x8000]; out 0x10, ax; and the same for a store first: mov word [0x8000], 0x4242
LOADS = bytes.fromhex("a10080 e710 f4")
STORES = bytes.fromhex("c70600804242") + LOADS

_PROGRAM = """
import ctypes, json, mmap, os, struct, sys, time
sys.path.insert(0, "/lab/labvmm.pyz")
from labvmm.kvm import common as kvm, x86 as kvm_x86
from labvmm.kvm.ioctl import call
from labvmm.machine import memory
code, data = bytes.fromhex(sys.argv[1]), sys.argv[2]
device = kvm.open_device()
vm = call(device, kvm.Request.KVM_CREATE_VM)
ram = memory.memfd(0x8000, "small")
ram.write(0x1000, code, "code")
memory.attach(vm, ram)
if data:
    map = ctypes.CDLL(None).mmap
    map.restype, map.argtypes = ctypes.c_void_p, [ctypes.c_size_t] * 6
    at = map(0, 4096, 3, 1, os.open(data, os.O_RDWR), 0)
    region = kvm.MemoryRegion(
        slot=1, guest_phys_addr=0x8000, memory_size=4096, userspace_addr=at)
    kvm.set_memory_region(vm, region)
vcpu = call(vm, kvm.Request.KVM_CREATE_VCPU, 0)
run = mmap.mmap(vcpu, call(device, kvm.Request.KVM_GET_VCPU_MMAP_SIZE))
sregs = kvm_x86.Sregs()
call(vcpu, kvm_x86.Request.KVM_GET_SREGS, sregs)
sregs.cs.base = sregs.cs.selector = 0
call(vcpu, kvm_x86.Request.KVM_SET_SREGS, sregs)
call(vcpu, kvm_x86.Request.KVM_SET_REGS, kvm_x86.Regs(rip=0x1000, rflags=2))
began = time.monotonic()
call(vcpu, kvm.Request.KVM_RUN)
took = time.monotonic() - began
reason = struct.unpack_from("=I", run, 8)[0]
_, size, _, _, where = struct.unpack_from("=BBHIQ", run, 32)
said = run[where : where + size].hex() if reason == 2 else ""
print(json.dumps({"exit": reason, "said": said, "seconds": took}))
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a small guest ended.

    Attributes:
        exit: KVM's exit reason: `IO`, `FAIL_ENTRY` or another KVM_EXIT_*.
        said: What it wrote to a port; empty unless `exit` is `IO`.
        seconds: How long KVM_RUN took, by L1's clock.
    """

    exit: int
    said: bytes
    seconds: float


def counts_exits(exits: int) -> bytes:
    """Return the code of a guest that makes KVM serve a number of CPUID exits.

    It is `mov esi, exits; again: cpuid; dec esi; jnz again; out 0x10, al; hlt`, in real mode.

    Args:
        exits: How many, below 2**32.

    Returns:
        Its machine code, for `run_small`.
    """
    return b"\x66\xbe" + exits.to_bytes(4, "little") + bytes.fromhex("0fa2 664e 75fa e610 f4")


def run_small(session: Session, code: bytes, by: Deadline, *, private: bool = False) -> Ended:
    """Run a few instructions as a guest in an L1, in real mode, until the first exit to user space.

    Args:
        session: A session with the L1, as root.
        code: The instructions, to be placed at 0x1000; RAM ends at 0x8000.
        by: When to give up.
        private: Map a page of the caretaker's private memory into the guest, at `DATA_AT`.

    Returns:
        How it ended.

    Raises:
        InfraError: It could not be started; the message has the last line of the reason.
    """
    words = ["python3", "-I", "-c", _PROGRAM, code.hex(), MEMORY if private else ""]
    said = session.run(words, by=by)
    if said.status:
        last = said.stderr.strip().splitlines()[-1:]
        raise InfraError(f"a small guest on {session.peer} did not run: {' '.join(last)}")
    found = json.loads(said.stdout)
    return Ended(found["exit"], bytes.fromhex(found["said"]), found["seconds"])
