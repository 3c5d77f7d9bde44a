# SPDX-License-Identifier: Apache-2.0
"""What runs resident vCPUs: its pure parts under sanitizers, and mutants of them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_KERNEL = Path(__file__).parents[2] / "guest-images/kernels/reference/tree"
_UNIT = "tools/testing/caretaker/resident.c"
_FLAGS = ["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined"]

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")

# file, what it says, what a mutant says instead, the test that must fail
_MUTANTS = {
    "wider-than-the-cpu": ("validate.c", "(xcr0 & ~wide)", "(xcr0 & ~wide & 0)", "xcr0s"),
    "avx-without-sse": ("validate.c", "!(xcr0 & XCR0_SSE)", "0", "xcr0s"),
    "half-of-avx512": ("validate.c", "&& all_or_none(xcr0, XCR0_AVX512)", "", "xcr0s"),
    "xsave-compacted": ("validate.c", " || word(image + XSAVE_COMP)", "", "xsaves"),
    "xsave-reserved": ("validate.c", "if (image[i])", "if (0)", "xsaves"),
    "list-in-private-memory": (
        "validate.c",
        "if (!page_ok(l, v->list[i], PAGE))",
        "if (!l)",
        "vcpus",
    ),
    "too-many-cpuids": ("validate.c", "v->cpuids > CARETAKER_CPUIDS", "0", "vcpus"),
    "too-many-lists": ("validate.c", "v->lists > CARETAKER_LISTS", "0", "vcpus"),
    "no-timer-rate": ("validate.c", "!v->timer_khz || ", "", "vcpus"),
    "memory-of-ours": (
        "validate.c",
        "page_ok(l, run->pa & ~(PAGE - 1), bytes)",
        "page_ok(l, run->pa & ~(PAGE - 1), PAGE)",
        "runs",
    ),
    "gpa-wraps": ("validate.c", "run->gpa < l->end &&", "", "runs"),
    "io-is-free": ("validate.c", "I3_INVLPGA | I3_IOIO | ", "I3_INVLPGA | ", "vmcb"),
    "controls-of-the-host": (
        "validate.c",
        "i >= VMCB_SAVE_AT && i < VMCB_SAVE_AT + VMCB_SAVE_BYTES ?",
        "i < VMCB_SAVE_AT + VMCB_SAVE_BYTES ?",
        "vmcb",
    ),
    "timer-that-counts": ("validate.c", "if (!apic_timer_ok(v->apic) || ", "if (", "timers"),
    "any-event": ("validate.c", "!event_ok(v->event) || ", "", "control_registers"),
    "any-registers": ("validate.c", " || !save_ok(l, v->save)", "", "control_registers"),
    "cr4-of-another": ("validate.c", "v->cr4 & ~l->cr4_known || ", "", "control_registers"),
    "cr3-of-nowhere": ("validate.c", "v->cr3 < l->end && ", "", "control_registers"),
    "long-mode-without-pae": (
        "validate.c",
        "(enabled && !(v->cr4 & CR4_PAE))",
        "(enabled && !v)",
        "control_registers",
    ),
    "periodic-run-out": ("vapic.c", "(lvt & LVT_MODE) == LVT_ONESHOT && ", "", "timers"),
    "reserved-as-data": (
        "vapic.c",
        "if (!readable(at))",
        "if (!readable(at) && at > AT_SELF)",
        "registers",
    ),
    "ppr-is-data": (
        "vapic.c",
        "? ppr(apic) : get(",
        "? ppr(apic) & 0 : get(",
        "processor_priority",
    ),
    "endless-exceptions": ("validate.c", "I2_DB | I2_AC | I2_MC", "I2_MC", "vmcb"),
    "without-svme": ("validate.c", "v->efer |= EFER_SVME;", ";", "vmcb"),
    "lends-efer": ("validate.c", "MSR_STAR, MSR_LSTAR", "MSR_EFER, MSR_LSTAR", "msrs"),
    "no-classes": ("vapic.c", "(irr & 0xf0) > (isr & 0xf0) &&", "irr > isr &&", "priorities"),
    "tpr-ignored": ("vapic.c", "(irr & 0xf0) > (tpr & 0xf0)", "tpr < 999", "priorities"),
    "eoi-lost": ("vapic.c", "put_bit(apic, AT_ISR, isr, false);", ";", "priorities"),
    "level-eoi-kept": ("vapic.c", "return APIC_PARK;	/* the IOAPIC", "/* the IOAPIC", "level"),
    "counts-as-deadline": ("vapic.c", "return APIC_PARK;	/* a timer", "/* a timer", "timer"),
    "masked-timer-fires": (
        "vapic.c",
        "(lvt & LVT_MASKED) || (lvt & 0xff)",
        "(lvt & 0xff)",
        "timer",
    ),
    "ipi-to-nobody": ("vapic.c", "return to == get(apic, AT_ID);", "return to | 1;", "ipis"),
    "ipi-to-another-cluster": ("vapic.c", "to >> 16 == ldr >> 16 && ", "", "ipis"),
    "ipi-to-self-too": ("vapic.c", "return !sender;", "return true;", "ipis"),
    "ipi-not-taken-out": (
        "vapic.c",
        "__atomic_exchange_n(&posted[i], 0, __ATOMIC_ACQ_REL)",
        "posted[i]",
        "ipis",
    ),
    "no-members": ("validate.c", "!v->members || ", "", "vcpus"),
    "nmi-as-interrupt": ("vapic.c", "!(icr & ICR_MODE) && ", "", "ipis"),
}


def _run(kernel: Path, out: Path) -> subprocess.CompletedProcess[str]:
    program = out / "unit"
    resident = kernel / "arch/x86/caretaker/resident"
    sources = [kernel / _UNIT, *(resident / name for name in ("validate.c", "vapic.c"))]
    sources.append(kernel / "arch/x86/caretaker/core/check.c")
    subprocess.run(["gcc", *_FLAGS, f"-I{resident}", *sources, "-o", program], check=True)
    return subprocess.run([program], capture_output=True, text=True, check=False, timeout=60)


def test_pure_parts_hold_under_sanitizers(tmp_path: Path) -> None:
    ran = _run(_KERNEL, tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lines = ran.stdout.splitlines()
    assert sum(line.startswith("ok ") for line in lines) == int(lines[1].removeprefix("1.."))


@pytest.mark.parametrize("name", _MUTANTS)
def test_mutant_is_caught(name: str, tmp_path: Path) -> None:
    file, what, instead, catcher = _MUTANTS[name]
    kernel = tmp_path / "kernel"
    for part in ("arch/x86/caretaker", "arch/x86/include", "tools/testing/caretaker"):
        shutil.copytree(_KERNEL / part, kernel / part)
    mutated = kernel / "arch/x86/caretaker/resident" / file
    text = mutated.read_text()
    assert text.count(what) == 1, "the mutant's place has changed"
    mutated.write_text(text.replace(what, instead))
    ran = _run(kernel, tmp_path)
    caught = [line for line in ran.stdout.splitlines() if line.startswith("not ok")]
    assert any(catcher in line for line in caught), ran.stdout + ran.stderr
