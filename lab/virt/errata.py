# SPDX-License-Identifier: Apache-2.0
"""Two errors of QEMU's TCG that lose x86-64 guests at random, taken out of a machine as it starts.

*The race.* Each FXRSTOR, XRSTOR or FLDENV of any CPU calls `cpu_clear_ignne()`, which clears a bit
in the `hflags2` of the *first* CPU: a read, a change and a write with no lock (QEMU 10.0,
target/i386/tcg/system/fpu_helper.c). The thread of that CPU keeps there whether nested paging and
GIF are on. So a VMRUN, #VMEXIT, STGI or CLGI of CPU 0 can be undone by what any other CPU's
scheduler does, and the guest or the whole host is lost. The bit is of MS-DOS' way of handling FPU
exceptions, and nothing here ever sets it: the function is made to return at once.

*The interrupt that comes twice.* A VMRUN that injects an interrupt leaves its vector behind in
`exception_index`, where it means an exception that is still to be delivered (svm_helper.c,
`helper_vmrun()`). If the CPU is then called out of its loop - since the machine is stopped,
its CPUs are looked at, or its PCI devices get other addresses - it is delivered once more, in the
middle of the guest's handler and with interrupts off. The store is taken out; nothing needs it.

Both are done in the memory of the one process that runs the machine. QEMU exports the names of
these functions, as its modules may use them; the file on disk stays what it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import capstone
from capstone.x86 import X86_OP_MEM, X86_OP_REG, X86_REG_ESI
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.hash import GNUHashSection

from lab.config.enums import Accel, Arch
from lab.virt.process import qemu_of
from lab.virt.xml import DomainSpec

RACE = "cpu_clear_ignne"
ENTRY, INJECTION = "helper_vmrun", "do_interrupt_x86_hardirq"
TAKEN_OUT = "QEMU's two errors that lose guests were taken out: see lab/virt/errata.py"
LEFT_IN = "QEMU has errors that lose guests at random, and they could not be taken out"
LEFT_ALONE = "QEMU has errors that lose guests at random; lab.toml says errata = 'leave'"
_RET, _NOP = b"\xc3", b"\x90"
_LOOKED_AT = 16  # bytes that have to be as in the file
_BEFORE_CALL = 20  # instructions; the store is one of those


class NotCuredError(Exception):
    """The errors are still in QEMU; the message is why."""


@dataclass(frozen=True, slots=True)
class Change:
    """Bytes of a program, counted from its first segment: before the change and after."""

    offset: int
    before: bytes
    after: bytes


def has_them(spec: DomainSpec) -> bool:
    """Return whether a machine like this can meet them: one that runs guests by SVM under TCG."""
    return spec.request.arch is Arch.X86_64 and spec.accel is Accel.TCG


def cure(machine: str, processes: Path = Path("/proc")) -> None:
    """Patch the QEMU that libvirt has started as `machine`; it may be running.

    Args:
        machine: libvirt's name of it.
        processes: The proc file system.

    Raises:
        NotCuredError: It is not a process of this machine, does not export the functions, or may
            not be written to.
    """
    process = qemu_of(machine, processes)
    if process is None:
        raise NotCuredError("its QEMU is not a process of this machine")
    try:
        program = (process / "exe").resolve(strict=True)
        changes = changes_for(process / "exe")
        base = _base(process, program)
        with (process / "mem").open("r+b", buffering=0) as memory:
            for change in changes:
                _make(memory, base, change)
    except OSError as e:
        raise NotCuredError(f"{e.strerror}: {e.filename or process / 'mem'}") from e


def changes_for(program: Path) -> tuple[Change, ...]:
    """Find what to change in a build of QEMU.

    Args:
        program: Its file.

    Returns:
        One change for each error.

    Raises:
        NotCuredError: It does not export the functions, is for another architecture, or was
            compiled to unknown code.
        OSError: It cannot be read.
    """
    with program.open("rb") as raw:
        try:
            elf = ELFFile(raw)
            if elf.get_machine_arch() != "x64":
                raise NotCuredError(f"it is a program for {elf.get_machine_arch()}")
            race, _ = _symbol(elf, RACE)
            return _change(elf, race, 1, _RET), _change(elf, *_store(elf), _NOP)
        except ELFError as e:
            raise NotCuredError(f"it is no ELF file: {e}") from e


def _symbol(elf: ELFFile, name: str) -> tuple[int, int]:
    """Return address and size of an exported function."""
    names = elf.get_section_by_name(".gnu.hash")
    symbol = names.get_symbol(name) if isinstance(names, GNUHashSection) else None
    if symbol is None:
        raise NotCuredError(f"this build of QEMU does not export {name}")
    return symbol["st_value"], symbol["st_size"]


def _store(elf: ELFFile) -> tuple[int, int]:
    """Find the store of the vector before the only call that injects it; its address and size.

    The vector is the second argument, so in ESI; a CPUState lies before what the call is of.
    """
    (start, size), (injection, _) = _symbol(elf, ENTRY), _symbol(elf, INJECTION)
    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    decoder.detail = True
    code = list(decoder.disasm(_bytes(elf, start, size), start))
    calls = [i for i, op in enumerate(code) if op.mnemonic == "call" and _target(op) == injection]
    if len(calls) == 1:
        stores = list(_stores(code[max(0, calls[0] - _BEFORE_CALL) : calls[0]]))
        if len(stores) == 1:
            return stores[0].address, stores[0].size
    raise NotCuredError(f"{ENTRY} of this build has unknown code")


def _target(op: capstone.CsInsn) -> int | None:
    return int(op.op_str, 0) if op.op_str.startswith("0x") else None


def _stores(code: list[capstone.CsInsn]) -> Iterator[capstone.CsInsn]:
    for op in code:
        if op.mnemonic != "mov" or len(op.operands) != 2:  # noqa: PLR2004 - to and from
            continue
        to, what = op.operands
        below = to.type == X86_OP_MEM and to.mem.disp < 0
        if below and what.type == X86_OP_REG and what.reg == X86_REG_ESI:
            yield op


def _bytes(elf: ELFFile, at: int, size: int) -> bytes:
    elf.stream.seek(next(iter(elf.address_offsets(at, size))))
    return bytes(elf.stream.read(size))


def _change(elf: ELFFile, at: int, size: int, with_what: bytes) -> Change:
    first = next(iter(elf.iter_segments("PT_LOAD")))["p_vaddr"]
    before = _bytes(elf, at, _LOOKED_AT)
    return Change(at - first, before, with_what * size + before[size:])


def _make(memory: BinaryIO, base: int, change: Change) -> None:
    at = base + change.offset

    def seen() -> bytes:
        memory.seek(at)
        return memory.read(len(change.after))

    if seen() not in {change.before, change.after}:
        raise NotCuredError("its code in memory differs from its file")
    memory.seek(at)
    memory.write(change.after)
    if seen() != change.after:
        raise NotCuredError("its code did not stay changed")


def _base(process: Path, program: Path) -> int:
    """Return where the first segment of its program is in its memory."""
    for line in (process / "maps").read_text(encoding="utf-8").splitlines():
        fields = line.split(maxsplit=5)
        if fields[-1] == str(program) and int(fields[2], 16) == 0:
            return int(fields[0].partition("-")[0], 16)
    raise NotCuredError(f"{program} is not mapped")
