# SPDX-License-Identifier: Apache-2.0
"""An error of QEMU's TCG that loses guests at random, taken out of a machine as it starts.

Each FXRSTOR, XRSTOR or FLDENV of any x86 CPU calls `cpu_clear_ignne()`, which clears a bit in the
`hflags2` of the *first* CPU: a read, a change and a write with no lock (QEMU 10.0,
target/i386/tcg/system/fpu_helper.c). The thread of that CPU keeps there whether nested paging and
GIF are on. So a VMRUN, #VMEXIT, STGI or CLGI of CPU 0 can be undone by what any other CPU's
scheduler does, and the guest or the whole host is lost, though nobody has struck it.

The bit is of MS-DOS' way of handling FPU exceptions, and nothing here ever sets it. So the function
is made to return at once, in the memory of the one process that runs the machine: QEMU
exports its name, as its modules may use it, and the file on disk stays what it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.hash import GNUHashSection

from lab.spec.words import Accel, Arch
from lab.virt.xml import DomainSpec

FUNCTION = "cpu_clear_ignne"
TAKEN_OUT = f"QEMU's {FUNCTION}() made to return at once: see lab/virt/erratum.py"
LEFT_IN = "QEMU has an error that loses guests at random, and it could not be taken out"
_RETURN = {"x64": bytes.fromhex("c3"), "AArch64": bytes.fromhex("c0035fd6")}  # by what L0 is
_LOOKED_AT = 16  # bytes that have to be as in the file


class NotCuredError(Exception):
    """Why the error is still in it."""


def has_it(spec: DomainSpec) -> bool:
    """Whether a machine like this can meet the error: it takes two threads that run x86 code."""
    return spec.arch is Arch.X86_64 and spec.accel is Accel.TCG and spec.vcpus > 1


def cure(machine: str, processes: Path = Path("/proc")) -> None:
    """Take the error out of the QEMU that libvirt has started as `machine`; it may be running.

    Raises:
        NotCuredError: it is not a process of this machine, does not export the function, or may
            not be written to.
    """
    process = processes / str(_pid(machine, processes))
    try:
        program = (process / "exe").resolve(strict=True)
        found = look_for_it(process / "exe")
        at = _base(process, program) + found.offset
        with (process / "mem").open("r+b", buffering=0) as memory:
            _replace(memory, at, found)
    except OSError as e:
        raise NotCuredError(f"{e.strerror}: {e.filename or process / 'mem'}") from e


@dataclass(frozen=True, slots=True)
class Found:
    """The function in a QEMU: bytes from its first segment, how it begins, and is to begin."""

    offset: int
    before: bytes
    after: bytes


def look_for_it(program: Path) -> Found:
    """Find the function in a build of QEMU.

    Raises:
        NotCuredError: it does not export it, or is for a machine that we do not know.
        OSError: it cannot be read.
    """
    with program.open("rb") as raw:
        try:
            elf = ELFFile(raw)
            cured = _RETURN.get(elf.get_machine_arch())
            names = elf.get_section_by_name(".gnu.hash")
        except ELFError as e:
            raise NotCuredError(f"it is no ELF file: {e}") from e
        symbol = names.get_symbol(FUNCTION) if isinstance(names, GNUHashSection) else None
        if cured is None or symbol is None:
            raise NotCuredError(f"this build of QEMU does not export {FUNCTION}")
        at, first = symbol["st_value"], next(iter(elf.iter_segments("PT_LOAD")))["p_vaddr"]
        raw.seek(next(iter(elf.address_offsets(at, _LOOKED_AT))))
        before = raw.read(_LOOKED_AT)
        return Found(at - first, before, cured + before[len(cured) :])


def _replace(memory: BinaryIO, at: int, found: Found) -> None:
    def seen() -> bytes:
        memory.seek(at)
        return memory.read(len(found.after))

    if seen() not in {found.before, found.after}:
        raise NotCuredError(f"{FUNCTION} is not where its program says that it is")
    memory.seek(at)
    memory.write(found.after)
    if seen() != found.after:
        raise NotCuredError(f"{FUNCTION} did not stay changed")


def _pid(machine: str, processes: Path) -> int:
    """Find the process that has `-name guest=MACHINE,...`, as libvirt starts all of its QEMUs."""
    wanted = f"guest={machine}".encode()
    for process in processes.iterdir():
        if not process.name.isdecimal():
            continue
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:  # it has just ended
            continue
        if any(word.split(b",")[0] == wanted for word in words):
            return int(process.name)
    raise NotCuredError("its QEMU is not a process of this machine")


def _base(process: Path, program: Path) -> int:
    """Give where the first segment of its program is in its memory."""
    for line in (process / "maps").read_text(encoding="utf-8").splitlines():
        fields = line.split(maxsplit=5)
        if fields[-1] == str(program) and int(fields[2], 16) == 0:
            return int(fields[0].partition("-")[0], 16)
    raise NotCuredError(f"{program} is not mapped")
