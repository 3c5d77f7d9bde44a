# SPDX-License-Identifier: Apache-2.0
"""kvm-unit-tests: a small stand-in of them, by path and by git ref, compiled, run and told."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from lab.arch import Arch, native
from lab.build.cache import Cache
from lab.build.kvm_unit_tests import UnitTest, build, unit_tests_of
from lab.errors import ConfigError, InfraError
from lab.report.ktap_input import children_of
from lab.runner.pool import Pool
from lab.runner.selftest import HowToRun
from lab.runner.unit_tests import run_unit_tests, script_of, told_unit_test
from lab.ssh.session import Result
from tests.support.suite_hosts import Hosts, ended

FOLDER = {"x86_64": "x86", "arm64": "arm"}[native().name]

CONFIGURE = """#!/bin/sh
for word; do case $word in --arch=*) echo "ARCH = ${word#--arch=}" >config.mak;; esac; done
"""
MAKEFILE = f"""include config.mak
all: {FOLDER}/svm.flat {FOLDER}/smp.flat
%.flat: %.c
	echo "$(ARCH) $<" >$@
"""
CONFIG = f"""
# AMD's
[svm]
file = svm.flat
smp = 2
extra_params = -cpu max,+svm -append "-ioio_test"
groups = svm nested
timeout = 5m
check = /sys/module/kvm_amd/parameters/nested=1

[other]
file = other.flat
arch = {"i386" if FOLDER == "x86" else "arm"}

[smp]
file = smp.flat
smp = $MAX_SMP
qemu_params = -m 1g
test_args = '''alone'''
groups = nodefault
accel = kvm
""".replace("'''", '"""')


@pytest.fixture
def tests_tree(tmp_path: Path) -> Path:
    files = {
        "configure": CONFIGURE,
        "Makefile": MAKEFILE,
        "lib/libcflat.h": "",
        f"{FOLDER}/unittests.cfg": CONFIG,
        f"{FOLDER}/svm.c": "",
        f"{FOLDER}/smp.c": "",
    }
    for name, text in files.items():
        path = tmp_path / "kut" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (tmp_path / "kut/configure").chmod(0o755)
    return tmp_path / "kut"


def test_a_folder_is_compiled_and_its_list_is_read(tests_tree: Path, tmp_path: Path) -> None:
    svm, smp = build(str(tests_tree), native().name, Cache(tmp_path / "cache"))

    assert svm == UnitTest(
        name="svm",
        image=svm.image,
        smp="2",
        params='-cpu max,+svm -append "-ioio_test"',
        groups=("svm", "nested"),
        check="/sys/module/kvm_amd/parameters/nested=1",
        timeout="5m",
    )
    assert svm.image.read_text() == f"{native().name} {FOLDER}/svm.c\n"
    assert (smp.smp, smp.params, smp.accel) == ("$MAX_SMP", "-m 1g -append alone", "kvm")
    assert not (tests_tree / "config.mak").exists()


def test_a_git_ref_is_that_commit_and_no_other(tests_tree: Path, tmp_path: Path) -> None:
    git = ["git", "-C", str(tests_tree), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q", "-b", "master"], ["add", "."], ["commit", "-qm", "a"],
                  ["tag", "v1"]):  # fmt: skip
        subprocess.run([*git, *words], check=True)
    (tests_tree / f"{FOLDER}/unittests.cfg").write_text("[new]\nfile = svm.flat\n")
    subprocess.run([*git, "commit", "-qam", "b"], check=True)
    cache = Cache(tmp_path / "cache")

    old = build(f"{tests_tree}#v1", native().name, cache)
    new = build(f"{tests_tree}#master", native().name, cache)

    assert [t.name for t in old] == ["svm", "smp"]
    assert [t.name for t in new] == ["new"]


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("/nowhere", "neither a folder nor a git repository with a ref"),
        ("https://example.org/kut.git", "neither a folder nor a git repository with a ref"),
        (".", "is not kvm-unit-tests"),
    ],
)
def test_another_source_is_refused_with_what_to_type(where: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=why):
        build(where, native().name, Cache(tmp_path / "cache"))


def test_a_test_that_was_not_built_is_not_left_out(tests_tree: Path, tmp_path: Path) -> None:
    with (tests_tree / f"{FOLDER}/unittests.cfg").open("a") as file:
        file.write("[third]\nfile = third.flat\n")
    with pytest.raises(InfraError, match=r"unit test third is in unittests\.cfg"):
        build(str(tests_tree), native().name, Cache(tmp_path / "cache"))


def test_a_section_without_a_guest_is_named() -> None:
    with pytest.raises(ConfigError, match=r"\[svm\] has no 'file'"):
        list(unit_tests_of("[svm]\nsmp = 2\n", Path(), native()))


def told(came: Result) -> list[tuple[int, str, str, str]]:
    lines = told_unit_test(1, UnitTest(name="svm", image=Path()), came)
    text = "\n".join(["KTAP version 1", "1..1", *lines])
    return [(c.depth, c.status, c.name, c.comment) for c in children_of(text)]


SAID = """enabling apic
PASS: null
\x1b[32mok\x1b[0m
FAIL: npt #PF: bit 2
SKIP: avic (not supported)
XFAIL: lbrv
KFAIL: vgif
XPASS: nmi
SUMMARY: 6 tests, 2 unexpected failures
"""


def test_each_report_of_a_test_is_a_subtest() -> None:
    assert told(ended(3, SAID)) == [
        (1, "ok", "null", ""),
        (1, "not ok", "npt #PF: bit 2", ""),
        (1, "skip", "avic (not supported)", ""),
        (1, "xfail", "lbrv", ""),
        (1, "xfail", "vgif", "a known failure"),
        (1, "not ok", "nmi", "it passed, and a failure was expected"),
        (0, "not ok", "kvm-unit-tests: svm", "exit=3"),
    ]


@pytest.mark.parametrize(
    ("came", "status", "comment"),
    [
        (ended(1), "ok", ""),
        (ended(1, err="qemu: warning: no such CPU feature\n"), "ok", ""),
        (ended(1, err="qemu: could not load kernel\n"), "not ok", "QEMU failed"),
        (ended(0), "not ok", "QEMU ended, and not by the test's order"),
        (ended(77), "skip", ""),
        (ended(124), "timeout", ""),
        (ended(3), "not ok", "exit=3"),
        (ended(134), "not ok", "exit=134"),
    ],
)
def test_status_of_qemu_is_the_tests(came: Result, status: str, comment: str) -> None:
    assert told(came) == [(0, status, "kvm-unit-tests: svm", comment)]


def test_words_of_the_list_are_evaluated_by_a_shell(tmp_path: Path) -> None:
    emulator = tmp_path / Arch.X86_64.traits.emulator
    emulator.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nexit 3\n')
    emulator.chmod(0o755)
    test = UnitTest(name="a", image=Path("a.flat"), smp="$((MAX_SMP > 0 ? 2 : 1))",
                    params="-cpu max -append 'a b' `echo -m 1g`")  # fmt: skip
    script = script_of(Arch.X86_64, test, "/run/a.flat", "10s")
    came = subprocess.run(
        ["bash", "-c", script],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    words = came.stdout.splitlines()
    assert came.returncode == 3
    assert words[-8:] == ["-smp", "2", "-cpu", "max", "-append", "a b", "-m", "1g"]
    assert words[words.index("-kernel") + 1] == "/run/a.flat"
    assert "isa-debug-exit,iobase=0xf4,iosize=0x4" in words


def test_what_a_host_lacks_is_skipped_with_the_reason(tmp_path: Path) -> None:
    def answer(argv: Sequence[str]) -> Result:
        if argv[0] == "bash" and "timeout" not in argv[-1]:
            return ended(subprocess.run(argv, check=False).returncode)
        return ended(0, "0\n") if argv[0] == "cat" else ended(1, "PASS: a\n")

    image = Path("a.flat")
    unit_tests = [
        UnitTest(name="plain", image=image),
        UnitTest(name="nested", image=image, check="/sys/nested=1"),
        UnitTest(name="moves", image=image, groups=("migration",)),
        UnitTest(name="soft", image=image, accel="tcg"),
        UnitTest(name="other", image=image, disabled_if='[[ "$TARGET" = qemu ]]'),
        UnitTest(name="split", image=image, accel="kvm,kernel-irqchip=split", disabled_if="false"),
    ]
    pool = Hosts(answer)
    text, complaint = run_unit_tests(
        cast("Pool", pool), cast("Any", None), unit_tests, tmp_path, HowToRun(90)
    )
    found = [(c.status, c.name, c.comment) for c in children_of(text) if c.depth == 0]
    assert found == [
        ("ok", "kvm-unit-tests: plain", ""),
        ("skip", "kvm-unit-tests: nested", "/sys/nested is 0, and not 1"),
        ("skip", "kvm-unit-tests: moves", "it is migrated by a script"),
        ("skip", "kvm-unit-tests: soft", "it is for tcg only"),
        ("skip", "kvm-unit-tests: other", 'it is disabled if [[ "$TARGET" = qemu ]]'),
        ("ok", "kvm-unit-tests: split", ""),
    ]
    assert complaint == ""
    assert pool.leased[0].tainted
    scripts = [d[-1] for d in pool.leased[0].session.done if d[0] == "bash" and "timeout" in d[-1]]
    assert len(scripts) == 2
    assert "-accel kvm,kernel-irqchip=split " in scripts[1]
