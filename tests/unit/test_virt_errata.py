# SPDX-License-Identifier: Apache-2.0
"""QEMU's errors are taken out of the process that it is told of, and out of nothing else.

The process here is no QEMU: it has functions of those names, and prints what became of the flags
that the first one clears, and of the exception that the second one leaves behind.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from lab.config.enums import Accel, Arch
from lab.virt import errata
from lab.virt.errata import NotCuredError
from tests.support.domain_specs import ASKED, L1

_QEMU = """
#include <stdio.h>
struct env { int x; };
struct cpu { int exception; char pad[200]; struct env env; } cpu;
int hflags2, injected;
STORAGE void __attribute__((noinline)) cpu_clear_ignne(void)
{
    __asm__ volatile("" ::: "memory");
    hflags2 &= ~0x80;
}
void __attribute__((noinline)) do_interrupt_x86_hardirq(struct env *env, int vector, int hard)
{
    __asm__ volatile("" ::: "memory");
    injected = vector;
}
void __attribute__((noinline)) helper_vmrun(struct env *env, int vector)
{
    STORES
    CALLS
    __asm__ volatile("" ::: "memory");
}
int main(void)
{
    while (getchar() != EOF) {
        hflags2 = 0x80;
        cpu.exception = -1;
        cpu_clear_ignne();
        helper_vmrun(&cpu.env, 0x31);
        printf("%x %d %d\\n", hflags2, cpu.exception, injected);
        fflush(stdout);
    }
}
"""
_STORE = "((struct cpu *)((char *)env - __builtin_offsetof(struct cpu, env)))->exception = vector;"
_CALL = "do_interrupt_x86_hardirq(env, vector, 1);"
_EXPORTED = ("-rdynamic", "-Wl,--hash-style=gnu")
ILL, WELL = "0 49 49", "80 -1 49"

Start = Callable[[str, Path], subprocess.Popen[str]]


def _built(
    folder: Path, *flags: str, storage: str = "", stores: str = _STORE, calls: str = _CALL
) -> Path:
    program, text = folder / "qemu", _QEMU
    for word, what in (("STORAGE", storage), ("STORES", stores), ("CALLS", calls)):
        text = text.replace(word, what)
    command = ["gcc", "-O2", "-x", "c", "-", "-o", str(program), *_EXPORTED, *flags]
    subprocess.run(command, input=text, text=True, check=True)
    return program


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:

        def started(machine: str, program: Path) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [program, "-name", f"guest={machine},debug-threads=on", "-S"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            assert _said(process) == ILL  # it is that program by now
            return process

        yield started


def _said(process: subprocess.Popen[str]) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def _name() -> str:
    return f"lab-errata-{os.getpid()}"


@pytest.mark.parametrize("pie", ["-pie", "-no-pie"])
def test_neither_error_is_left(tmp_path: Path, start: Start, pie: str) -> None:
    program = _built(tmp_path, pie)
    ill, other = start(_name(), program), start(f"{_name()}-other", program)
    on_disk = program.read_bytes()
    errata.cure(_name())
    assert _said(ill) == WELL
    errata.cure(_name())  # a second time does no harm
    assert _said(ill) == WELL
    assert _said(other) == ILL
    assert program.read_bytes() == on_disk


def test_a_build_that_hides_a_function_is_said_to_be_uncured(tmp_path: Path, start: Start) -> None:
    ill = start(_name(), _built(tmp_path, storage="static"))
    with pytest.raises(NotCuredError, match="does not export cpu_clear_ignne"):
        errata.cure(_name())
    assert _said(ill) == ILL


@pytest.mark.parametrize(
    ("stores", "calls"),
    [
        (_STORE, _CALL + '__asm__ volatile("" ::: "memory");' + _CALL),
        ("", _CALL),
        (_STORE, ""),
        (_STORE + "((int *)env)[-3] = vector;", _CALL),
    ],
    ids=["two-calls", "no-store", "no-call", "two-stores"],
)
def test_code_of_another_shape_is_left_alone(tmp_path: Path, stores: str, calls: str) -> None:
    program = _built(tmp_path, stores=stores, calls=calls)
    with pytest.raises(NotCuredError, match="helper_vmrun of this build has unknown code"):
        errata.changes_for(program)


def test_a_program_that_is_not_what_its_file_says_is_left_alone(
    tmp_path: Path, start: Start
) -> None:
    program = _built(tmp_path, "-no-pie")
    ill = start(_name(), program)
    at = errata.changes_for(program)[0].offset
    base = errata._base(Path(f"/proc/{ill.pid}"), program.resolve())
    with Path(f"/proc/{ill.pid}/mem").open("r+b", buffering=0) as memory:
        memory.seek(base + at + 4)
        memory.write(b"\x90")
    with pytest.raises(NotCuredError, match="in memory differs from its file"):
        errata.cure(_name())


def test_a_machine_on_another_computer_is_said_to_be_uncured() -> None:
    with pytest.raises(NotCuredError, match="not a process of this machine"):
        errata.cure(_name())


def test_what_is_no_program_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "qemu"
    text.write_text("#!/bin/sh\n", encoding="ascii")
    with pytest.raises(NotCuredError, match="no ELF file"):
        errata.changes_for(text)


@pytest.mark.parametrize(
    ("arch", "accel", "ill"),
    [
        (Arch.X86_64, Accel.TCG, True),
        (Arch.X86_64, Accel.KVM, False),
        (Arch.ARM64, Accel.TCG, False),
    ],
)
def test_only_x86_code_that_is_emulated_has_them(arch: Arch, accel: Accel, *, ill: bool) -> None:
    assert errata.has_them(replace(L1, request=replace(ASKED, arch=arch), accel=accel)) is ill
