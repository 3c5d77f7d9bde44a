# SPDX-License-Identifier: Apache-2.0
"""QEMU's error is taken out of the process that it is told of, and out of nothing else.

The process here is no QEMU: it has a function of that name that changes what it prints.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from lab.spec.words import Accel, Arch
from lab.virt import erratum
from lab.virt.erratum import NotCuredError
from tests.virt_specs import L1

_QEMU = """
#include <stdio.h>
int hflags2 = 0x80;
%s void __attribute__((noinline)) cpu_clear_ignne(void)
{
    __asm__ volatile("" ::: "memory");
    hflags2 &= ~0x80;
}
int main(void)
{
    while (getchar() != EOF) {
        hflags2 = 0x80;
        cpu_clear_ignne();
        printf("%%x\\n", hflags2);
        fflush(stdout);
    }
}
"""
_EXPORTED = ["-rdynamic", "-Wl,--hash-style=gnu"]

Start = Callable[[str, Path], subprocess.Popen[str]]


def _built(folder: Path, *flags: str, storage: str = "") -> Path:
    program = folder / "qemu"
    command = ["gcc", "-O1", "-x", "c", "-", "-o", str(program), *flags]
    subprocess.run(command, input=_QEMU % storage, text=True, check=True)
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
            assert _said(process) == "0"  # it is that program by now
            return process

        yield started


def _said(process: subprocess.Popen[str]) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def _name() -> str:
    return f"lab-erratum-{os.getpid()}"


@pytest.mark.parametrize("pie", ["-pie", "-no-pie"])
def test_the_function_does_nothing_any_more(tmp_path: Path, start: Start, pie: str) -> None:
    program = _built(tmp_path, pie, *_EXPORTED)
    ill, other = start(_name(), program), start(f"{_name()}-other", program)
    on_disk = program.read_bytes()
    erratum.cure(_name())
    assert _said(ill) == "80"
    erratum.cure(_name())  # a second time does no harm
    assert _said(ill) == "80"
    assert _said(other) == "0"
    assert program.read_bytes() == on_disk


def test_a_build_that_hides_the_function_is_said_to_be_uncured(
    tmp_path: Path, start: Start
) -> None:
    ill = start(_name(), _built(tmp_path, *_EXPORTED, storage="static"))
    with pytest.raises(NotCuredError, match="does not export cpu_clear_ignne"):
        erratum.cure(_name())
    assert _said(ill) == "0"


def test_a_program_that_is_not_what_its_file_says_is_left_alone(
    tmp_path: Path, start: Start
) -> None:
    program = _built(tmp_path, "-no-pie", *_EXPORTED)
    ill = start(_name(), program)
    at = erratum.look_for_it(program).offset
    base = erratum._base(Path(f"/proc/{ill.pid}"), program.resolve())
    with Path(f"/proc/{ill.pid}/mem").open("r+b", buffering=0) as memory:
        memory.seek(base + at + 4)
        memory.write(b"\x90")
    with pytest.raises(NotCuredError, match="is not where its program says"):
        erratum.cure(_name())


def test_a_machine_on_another_computer_is_said_to_be_uncured() -> None:
    with pytest.raises(NotCuredError, match="not a process of this machine"):
        erratum.cure(_name())


def test_what_is_no_program_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "qemu"
    text.write_text("#!/bin/sh\n", encoding="ascii")
    with pytest.raises(NotCuredError, match="no ELF file"):
        erratum.look_for_it(text)


@pytest.mark.parametrize(
    ("changes", "ill"),
    [
        ({}, True),
        ({"vcpus": 1}, False),
        ({"accel": Accel.KVM}, False),
        ({"arch": Arch.ARM64}, False),
    ],
)
def test_it_takes_two_threads_that_run_x86_code(changes: dict[str, object], *, ill: bool) -> None:
    spec = replace(L1, arch=Arch.X86_64, accel=Accel.TCG, vcpus=2)
    assert erratum.has_it(replace(spec, **changes)) is ill  # type: ignore[arg-type]
