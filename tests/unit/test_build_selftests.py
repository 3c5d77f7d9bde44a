# SPDX-License-Identifier: Apache-2.0
"""A kernel's own selftests: compiled from its tree as it is patched, and what they say of how."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lab.arch import native
from lab.build.cache import Cache
from lab.build.kernel import Recipe
from lab.build.selftests import build
from lab.build.source import TreeSource
from lab.cli.app import main
from lab.errors import ConfigError, InfraError
from lab.report.ktap_input import children_of
from lab.runner.selftest import run_program
from lab.runner.selftest_lines import told
from lab.ssh.session import Result
from tests.support.sshd import serving

_MAKEFILE = """
headers:
	mkdir -p $(O)/usr/include
	echo '#define ANSWER 42' >$(O)/usr/include/answer.h
"""

# As selftests/lib.mk has it: programs into OUTPUT, names by emit_tests.
_SUITE = """
all: $(OUTPUT)/one $(OUTPUT)/arch/two
$(OUTPUT)/%: %.c
	mkdir -p $(@D)
	$(CC) $(LDFLAGS) $(KHDR_INCLUDES) $< -o $@
	touch $@.d
emit_tests:
	for t in one two more.sh; do echo "$(COLLECTION):$$t"; done
"""

_ONE = """#include <answer.h>
int main(void) { return ANSWER == 42 ? 0 : 1; }
"""
_TWO = "int main(void) { return 1; }\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    files = {
        "Makefile": _MAKEFILE,
        "Kconfig": "",
        "scripts/kconfig/Makefile": "",
        "tools/testing/selftests/toy/Makefile": _SUITE,
        "tools/testing/selftests/toy/one.c": _ONE,
        "tools/testing/selftests/toy/arch/two.c": _TWO,
    }
    for name, text in files.items():
        path = tmp_path / "linux" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "linux"


def recipe(tree: Path, *patches: Path) -> Recipe:
    return Recipe(name="toy", source=TreeSource(path=tree), fragments=(), patches=patches)


def test_programs_come_in_the_trees_order_and_need_no_library(tree: Path, tmp_path: Path) -> None:
    made = build(recipe(tree), "toy", native().name, Cache(tmp_path / "cache"))

    assert [program.name for program in made.programs] == ["one", "two"]
    assert [subprocess.run([p], check=False).returncode for p in made.programs] == [0, 1]
    asked = subprocess.run(["ldd", made.programs[0]], capture_output=True, text=True, check=False)
    assert "not a dynamic executable" in asked.stdout + asked.stderr
    folder = made.programs[0].parent
    assert {path.name for path in folder.rglob("*")} == {"one", "two"}
    assert not [path for path in folder.parent.iterdir() if path.is_dir() and path != folder]


def test_the_tests_are_those_of_the_tree_as_it_is_patched(tree: Path, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    plain = build(recipe(tree), "toy", native().name, cache)
    patch = tmp_path / "fix.patch"
    before, after = _TWO, _TWO.replace("return 1", "return 0")
    name = "tools/testing/selftests/toy/arch/two.c"
    patch.write_text(
        f"--- a/{name}\n+++ b/{name}\n@@ -1 +1 @@\n-{before}+{after}", encoding="utf-8"
    )

    patched = build(recipe(tree, patch), "toy", native().name, cache)

    assert patched.programs[1] != plain.programs[1]
    assert subprocess.run([patched.programs[1]], check=False).returncode == 0
    assert (tree / name).read_text(encoding="utf-8") == _TWO


def test_a_tree_without_that_suite_is_the_users_mistake(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no selftests 'liveupdate'"):
        build(recipe(tree), "liveupdate", native().name, Cache(tmp_path / "cache"))


def test_a_test_that_does_not_compile_is_told_of(tree: Path, tmp_path: Path) -> None:
    (tree / "tools/testing/selftests/toy/one.c").write_text("int main(void) { oops }\n")
    with pytest.raises(InfraError, match="compiling the selftests toy"):
        build(recipe(tree), "toy", native().name, Cache(tmp_path / "cache"))


def test_a_program_that_is_named_and_not_there_is_not_left_out(tree: Path, tmp_path: Path) -> None:
    makefile = tree / "tools/testing/selftests/toy/Makefile"
    makefile.write_text(_SUITE.replace("in one two", "in one two three"), encoding="utf-8")
    with pytest.raises(InfraError, match="the selftest three is in its makefile"):
        build(recipe(tree), "toy", native().name, Cache(tmp_path / "cache"))


def test_how_programs_ended_is_said_as_kselftest_says_it() -> None:
    inner = "TAP version 13\n1..1\nok 1 inside\n"
    ends = [Result("a", 0, inner, ""), Result("b", 4, "", ""), Result("c", 124, "", "late\n")]
    ends += [Result("d", 1, "", "ok, not really\n"), Result("e", 139, "", "")]
    lines = [line for n, end in enumerate(ends, 1) for line in told(n, f"toy: {end.command}", end)]

    found = children_of("\n".join(["KTAP version 1", f"1..{len(ends)}", *lines]))

    assert [(c.depth, c.status, c.name, c.comment) for c in found] == [
        (1, "ok", "inside", ""),
        (0, "ok", "selftests: toy: a", ""),
        (0, "skip", "selftests: toy: b", ""),
        (0, "timeout", "selftests: toy: c", ""),
        (0, "not ok", "selftests: toy: d", "exit=1"),
        (0, "not ok", "selftests: toy: e", "exit=139"),
    ]


def test_selftest_gets_its_environment_and_its_time_limit(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text('#!/bin/sh\necho "$soak, $only"\nsleep "$rest"\n')
    program.chmod(0o755)
    env = ["soak=1000", "only=a b"]

    with serving() as host, host.session() as session:
        at_once, late = (
            run_program(session, str(program), timeout_s=limit, env=[*env, f"rest={rest}"], cwd="/")
            for limit, rest in ((20, 0), (1, 10))
        )

    assert (at_once.status, at_once.stdout) == (0, "1000, a b\n")
    assert late.status == 124  # timeout(1)'s


@pytest.mark.parametrize("setting", ["soak", "=1", "1st=2", "a b=c"])
def test_what_sets_nothing_is_refused_before_anything_is_built(
    setting: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["selftest", "kvm", f"--env={setting}"]) == 2

    assert f"--env={setting}: expected NAME=VALUE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("--mode nvhe", "--mode=nvhe: no such mode on x86_64"),
        ("--arch arm64 --mode swallowed", "--mode=swallowed: no such mode on arm64"),
        ("--kernel stock --beside stock", "--beside=stock: this is the kernel under test"),
    ],
)
def test_compare_refuses_an_unknown_or_identical_host(
    words: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["selftest", "kvm", *words.split()]) == 2

    assert why in capsys.readouterr().err
