# SPDX-License-Identifier: Apache-2.0
"""What a suite says of itself: its time limit, its configuration, its stages."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.arch import native
from lab.build.cache import Cache
from lab.build.selftests import build
from lab.build.suite_files import built_in, lacking, settings_of, timeout_of
from lab.errors import ConfigError
from tests.unit.test_build_selftests import recipe, tree

__all__ = ["tree"]

_STAGED = """#include <stdio.h>
int main(void) { puts("Stage mismatch Requested stage %d"); return 0; }
"""
_EXTENDED = """
TEST_GEN_PROGS_EXTENDED := $(OUTPUT)/helper $(OUTPUT)/staged
all: $(TEST_GEN_PROGS_EXTENDED)
"""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("timeout=120\n", 120.0),
        ("# timeout=5\ntimeout = 45\n", 45.0),
        ("timeout=0\n", 86400.0),
        ("other=1\n", None),
    ],
)
def test_settings_say_how_long_a_program_may_take(
    tmp_path: Path, text: str, seconds: float | None
) -> None:
    (tmp_path / "settings").write_text(text)
    assert timeout_of(tmp_path) == seconds


def test_a_suite_without_settings_says_nothing(tmp_path: Path) -> None:
    assert timeout_of(tmp_path) is None


def test_a_timeout_that_is_no_number_is_named(tmp_path: Path) -> None:
    (tmp_path / "settings").write_text("timeout=1m\n")
    with pytest.raises(ConfigError, match="timeout=1m, which is no number"):
        timeout_of(tmp_path)


def test_the_architectures_config_has_the_last_word(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("CONFIG_A=m\nCONFIG_B=y\n# CONFIG_D is not set\n")
    (tmp_path / "config.x86_64").write_text("CONFIG_B=n\nCONFIG_C=7\n")
    (tmp_path / "config.aarch64").write_text("CONFIG_E=y\n")

    wanted = settings_of(tmp_path, ["x86", "x86_64"])

    lines = built_in(wanted).splitlines()
    assert lines == [
        "CONFIG_A=y",
        "# CONFIG_B is not set",
        "# CONFIG_D is not set",
        "CONFIG_C=7",
    ]
    assert lacking(wanted, "CONFIG_A=y\nCONFIG_D=y\nCONFIG_C=8\n") == (
        "# CONFIG_D is not set",
        "CONFIG_C=7",
    )


def test_what_is_built_tells_what_the_suite_says(tree: Path, tmp_path: Path) -> None:
    folder = tree / "tools/testing/selftests/toy"
    makefile = folder / "Makefile"
    makefile.write_text(makefile.read_text() + _EXTENDED)
    (folder / "staged.c").write_text(_STAGED)
    (folder / "helper.c").write_text("int main(void) { return 0; }\n")
    (folder / "settings").write_text("timeout=7\n")
    (folder / "config").write_text("CONFIG_KVM=m\n")

    made = build(recipe(tree), "toy", native().name, Cache(tmp_path / "cache"))

    assert [p.name for p in made.programs] == ["one", "two"]
    assert [p.name for p in made.staged] == ["staged"]
    assert made.staged[0].is_file()
    assert not (made.staged[0].parent / "helper").exists()
    assert made.scripts == ("more.sh",)
    assert made.timeout_s == 7.0
    assert [s.line for s in made.settings] == ["CONFIG_KVM=y"]
    assert made.only([made.staged[0]]).programs == ()


def test_a_suite_that_says_nothing_wants_nothing(tree: Path, tmp_path: Path) -> None:
    made = build(recipe(tree), "toy", native().name, Cache(tmp_path / "cache"))
    assert (made.timeout_s, made.config, made.settings, made.staged) == (None, None, (), ())
