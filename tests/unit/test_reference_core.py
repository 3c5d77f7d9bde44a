# SPDX-License-Identifier: Apache-2.0
"""The caretaker's pure parts, compiled for userspace with ASan and UBSan; and mutants of them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

_KERNEL = Path(__file__).parents[2] / "guest-images/kernels/reference/tree"
_CORE = _KERNEL / "arch/x86/caretaker/core"
_UNIT = _KERNEL / "tools/testing/caretaker/unit.c"
_PURE = ("npt.c", "check.c", "msr_policy.c", "shadow.c")
_FLAGS = ["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined"]

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")

# file, what it says, what a mutant says instead, the test that must fail
_MUTANTS = {
    "hole-forgotten": (
        "npt.c",
        "if (!overlap(pa, MIB(2), hole.start, hole.size) &&",
        "if (",
        "identity_4_levels",
    ),
    "gib-forgotten": (
        "npt.c",
        "if (!overlap(gib, GIB(1), hole.start, hole.size)) {",
        "if (gib > hole.start || gib + GIB(1) <= hole.start) {",
        "identity_edges",
    ),
    "checker-looks-not-in-hole": (
        "npt.c",
        "if (to != (hidden ? PT_NONE : pa))",
        "if (!hidden && to != pa)",
        "checker_notices",
    ),
    "checker-looks-not-at-rights": (
        "npt.c",
        "if (!hidden && got != flags)",
        "if (got == ~flags)",
        "checker_notices",
    ),
    "maps-over": (
        "npt.c",
        "return e && !(*e & PT_P) &&",
        "return e &&",
        "map_refuses",
    ),
    "init-goes-out": ("check.c", "mode != MODE_INIT && ", "", "icr_init_sipi"),
    "shorthand-goes-out": ("check.c", "ICR_SHORTHAND(icr) || ", "", "icr_init_sipi"),
    "owner-not-looked-at": ("check.c", "owned[i] == to", "owned[i] == to + 99", "icr_init_sipi"),
    "nmi-refused": (
        "check.c",
        "return mode == MODE_SMI ? ICR_REFUSE",
        "return mode == MODE_SMI || mode == 4 ? ICR_REFUSE",
        "icr_ordinary",
    ),
    "page-of-private-memory": (
        "check.h",
        " &&\n\t       !overlap(pa, bytes, l->hole.start, l->hole.size)",
        "",
        "pages",
    ),
    "only-first-page-checked": (
        "check.c",
        "l, v->iopm_pa, IOPM_BYTES",
        "l, v->iopm_pa, PAGE",
        "vmcbs",
    ),
    "host-asid": ("check.c", "v->asid == l->host_asid || ", "", "vmcbs"),
    "no-way-back": ("check.c", "I3_INTR | I3_NMI", "I3_NMI", "vmcbs"),
    "loadsave-without-the-feature": (
        "check.c",
        "| if_has(l, SVM_VLS, MISC2_V_LOADSAVE)",
        "| MISC2_V_LOADSAVE",
        "vmcb_fields",
    ),
    "any-misc-ctl2": (
        "check.c",
        "(v->misc_ctl2 & ~misc_ctl2)",
        "(v->misc_ctl2 & ~misc_ctl2 & 0)",
        "vmcb_fields",
    ),
    "any-misc-ctl": ("check.c", "v->misc_ctl != MISC_NP", "!(v->misc_ctl & 1)", "vmcb_fields"),
    "any-int-ctl": (
        "check.c",
        "(v->int_ctl & ~int_ctl)",
        "(v->int_ctl & ~int_ctl & 0)",
        "vmcb_fields",
    ),
    "any-event": (
        "check.c",
        "&& event_ok(v->event_inj)",
        "&& (event_ok(v->event_inj) || 1)",
        "vmcb_events",
    ),
    "any-flush": (
        "check.c",
        "return l->svm_features & SVM_FLUSH_ASID",
        "return true",
        "vmcb_fields",
    ),
    "exceptions-of-its-own": (
        "check.c",
        "(v->intercept[2] & i2) == i2 &&",
        "((v->intercept[2] & i2) == i2 || 1) &&",
        "vmcbs",
    ),
    "touching-is-overlap": (
        "types.h",
        "a < b + m && b < a + n",
        "a <= b + m && b <= a + n",
        "pages",
    ),
    "guest-leaf-unchecked": (
        "shadow.c",
        "if (!page_ok(l, e & PT_ADDR & ~(size - 1), size))",
        "if (!size)",
        "shadow_keeps_private",
    ),
    "guest-large-leaf-half-checked": (
        "shadow.c",
        "if (!page_ok(l, e & PT_ADDR & ~(size - 1), size))",
        "if (!page_ok(l, e & PT_ADDR & ~(size - 1), PAGE))",
        "shadow_keeps_private",
    ),
    "rights-not-combined": (
        "shadow.c",
        "(rights & e & PT_LOW_RIGHTS)",
        "(e & PT_LOW_RIGHTS)",
        "shadow_leaves_to_host",
    ),
    "write-untold": ("shadow.c", "rights &= ~PT_W;", "rights &= ~0ULL;", "shadow_follows"),
    "mmio-unmarked": ("shadow.c", "*error |= PF_RSVD;", ";", "shadow_leaves_to_host"),
    "stale-after-drop": ("shadow.c", "*at++ = 0;", "*at++ |= 0;", "shadow_follows"),
    "depth-of-its-own": (
        "shadow.c",
        "for (level = s->levels; ; level--)",
        "for (level = s->pt.levels; ; level--)",
        "shadow_depths",
    ),
    "guest-gets-all-msrs": (
        "check.c",
        "(ours[byte] & ~bits) | (hosts[byte] & bits)",
        "(hosts[byte] & ~bits) | (hosts[byte] & bits)",
        "msrpms",
    ),
    "host-moves-memory": (
        "msr_policy.c",
        "{ MSR_TOP_MEM2, MSR_TOP_MEM2, MSR_FREE, MSR_SAME }",
        "{ MSR_TOP_MEM2, MSR_TOP_MEM2, MSR_FREE, MSR_FREE }",
        "host_msrpm",
    ),
    "machine-checks-refused": (
        "msr_policy.c",
        "MSR_SMCA_LAST, MSR_PASS",
        "MSR_SMCA, MSR_PASS",
        "host_msrs",
    ),
    "kvm-writes-anywhere": (
        "msr_policy.c",
        "MSR_PASS, MSR_PAGE",
        "MSR_PASS, MSR_PASS",
        "host_msrs",
    ),
    "unknown-msrs-pass": (
        "msr_policy.c",
        "MSR_FREE : MSR_NEVER",
        "MSR_FREE : MSR_PASS",
        "host_msrs",
    ),
    "kvm-writes-across": ("msr_policy.c", "overlap(at, 128,", "overlap(at, 64,", "host_msr_pages"),
    "invlpgb-is-ud": (
        "check.c",
        "FN8_INVLPGB ? MISC_INVLPGB : 0",
        "FN8_INVLPGB ? 0 : 0",
        "processors",
    ),
    "invlpgb-without-the-control": (
        "check.c",
        " || (id->svm_edx & SVM_TLBICTL)",
        " || 1",
        "processors",
    ),
    "encryption-by-guess": ("check.c", "id->fn1f_eax & BIT(0) ?", "id->fn1f_ebx ?", "processors"),
    "guest-gets-efer": ("check.c", "LEND(MSR_STAR,", "LEND(MSR_EFER,", "msrpms"),
    "efer-of-another": (
        "check.c",
        "if (value & ~known)",
        "if (value & ~known & ~0x3fffffULL)",
        "efers",
    ),
    "la57-by-guess": ("check.c", "{ 3, 16, 12 }", "{ 3, 2, 12 }", "cr4_features"),
    "tce-by-guess": ("check.c", "known |= id->fn1_ecx & BIT(17)", "known |= 1", "efer_features"),
    "vector-of-an-exception": (
        "check.c",
        "ICR_VECTOR(icr) < FIRST_VECTOR ? ICR_REFUSE",
        "ICR_VECTOR(icr) < 16 ? ICR_REFUSE",
        "icr_ordinary",
    ),
    "efer-lma": ("check.c", "if ((value ^ now) & EFER_LMA)", "if (0)", "efers"),
}


def _run(core: Path, out: Path) -> subprocess.CompletedProcess[str]:
    program = out / "unit"
    sources = [_UNIT, *(core / name for name in _PURE)]
    subprocess.run(["gcc", *_FLAGS, f"-I{core}", *sources, "-o", program], check=True)
    return subprocess.run([program], capture_output=True, text=True, check=False, timeout=60)


def test_pure_parts_hold_under_sanitizers(tmp_path: Path) -> None:
    ran = _run(_CORE, tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lines = ran.stdout.splitlines()
    assert sum(line.startswith("ok ") for line in lines) == int(lines[1].removeprefix("1.."))


@pytest.mark.parametrize("name", _MUTANTS)
def test_mutant_is_caught(name: str, tmp_path: Path) -> None:
    file, what, instead, catcher = _MUTANTS[name]
    core = tmp_path / "core"
    shutil.copytree(_CORE, core)
    text = (core / file).read_text()
    assert text.count(what) == 1, "the mutant's place has changed"
    (core / file).write_text(text.replace(what, instead))
    ran = _run(core, tmp_path)
    assert any(
        line.startswith("not ok") and line.endswith(catcher) for line in ran.stdout.splitlines()
    ), ran.stdout + ran.stderr


def _lines_of_code(path: Path) -> int:
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text(), flags=re.DOTALL)
    return sum(bool(line.strip()) for line in text.splitlines())


@pytest.mark.parametrize(("folder", "budget"), [("core", 2300), ("resident", 1050)])
def test_what_runs_below_is_small_enough_to_be_read(folder: str, budget: int) -> None:
    files = [path for path in (_CORE.parent / folder).iterdir() if path.suffix != ".lds"]
    lines = {path.name: _lines_of_code(path) for path in files}
    assert sum(lines.values()) < budget
    assert max(lines.values()) <= 300
