# SPDX-License-Identifier: Apache-2.0
"""Patch by patch: one that only the next one repairs is found, and no other is blamed."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.build import kconfig, series
from lab.build.cache import Cache
from lab.build.kernel import Recipe
from lab.build.series import Built
from lab.build.source import TreeSource

MAKEFILE = """
tinyconfig:
	echo 'CONFIG_TINY=y' > $(O)/.config
olddefconfig:
	if ! test -e own.c; then sed -i 's/CONFIG_OWN=y/# CONFIG_OWN is not set/' $(O)/.config; fi
vmlinux:
	if grep -qx CONFIG_OWN=y $(O)/.config; then test -e file-of-tree; fi
	for n in `seq 3`; do echo "  CC      kernel/$$n.o"; done
	$(CC) -c -o $(O)/main.o init/main.c
"""
TWO = "int one = 1;\nint two = 2;\n"
TO_THREE = """
--- a/init/main.c
+++ b/init/main.c
@@ -1,2 +1,3 @@
 int one = 1;
 int two = 2;
+int three = {three};
"""
OWN = """
--- /dev/null
+++ b/own.c
@@ -0,0 +1 @@
+int own;
"""
REPAIR = """
--- a/init/main.c
+++ b/init/main.c
@@ -1,3 +1,3 @@
 int one = 1;
 int two = 2;
-int three = four;
+int three = 3;
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "linux"
    files = {"Makefile": MAKEFILE, "Kconfig": "", "scripts/kconfig/Makefile": ""}
    for name, text in {**files, "init/main.c": TWO}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def built(tree: Path, *patches: str, both: bool = False) -> list[Built]:
    """Build with OWN=y, an option of the first patch's, which needs a file of the recipe's."""
    home = tree.parent
    (home / "mine.config").write_text("CONFIG_OWN=y\n")
    (home / "files").mkdir()
    (home / "files/file-of-tree").write_text("")
    paths = [home / f"{n:04}.patch" for n in range(1, len(patches) + 1)]
    for path, text in zip(paths, patches, strict=True):
        path.write_text(text)
    recipe = Recipe(
        name="mine",
        source=TreeSource(path=tree),
        fragments=(home / "mine.config",),
        patches=tuple(paths),
        tree=home / "files",
    )
    return list(series.each(recipe, "x86_64", Cache(home / "cache"), both=both))


def test_each_patch_builds_and_the_option_is_on_only_at_the_end(tree: Path) -> None:
    steps = built(tree, OWN, TO_THREE.format(three=3))
    assert [step.step for step in steps] == [
        "the source",
        "0001.patch",
        "0002.patch",
        "all of it, with its files and options",
    ]
    assert [step.complaints for step in steps] == [()] * 4
    assert [step.objects for step in steps] == [3] * 4


def test_a_patch_that_the_next_one_repairs_is_found(tree: Path) -> None:
    steps = built(tree, OWN, TO_THREE.format(three="four"), REPAIR)
    assert [bool(step.complaints) for step in steps] == [False, False, True, False, False]
    assert "undeclared" in steps[2].complaints[0]


def test_what_the_source_does_not_know_is_its_recipes_own() -> None:
    settings = (kconfig.Setting("KVM", "y", "a:1"), kconfig.Setting("OWN", "y", "a:2"))
    off = series.own((*settings, kconfig.Setting("DEBUG", "n", "a:3")), "CONFIG_KVM=y\n")
    assert [setting.line for setting in off] == ["# CONFIG_OWN is not set"]


def test_options_are_tried_on_as_soon_as_the_source_knows_them(tree: Path) -> None:
    steps = built(tree, TO_THREE.format(three=3), OWN, both=True)
    assert [step.step for step in steps] == [
        "the source",
        "0001.patch",
        "0002.patch",
        "0002.patch, with OWN",
        "all of it, with its files and options",
    ]
    # The file that the option needs comes at the end only.
    assert [bool(step.complaints) for step in steps] == [False, False, False, True, False]
