# SPDX-License-Identifier: Apache-2.0
"""A recipe's checks see its patches and files; what they find, and how they fail, is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.build import static_check
from lab.build.cache import Cache
from lab.build.kernel import Recipe
from lab.build.source import TreeSource
from lab.build.static_check import Checked
from lab.errors import ConfigError

CHECK = """
import sys
from pathlib import Path
kvm = sorted(Path(sys.argv[1]).glob("kvm/*.c"))
found = [p.name for p in kvm if "current->mm" in p.read_text()]
print(*found, sep="\\n")
sys.exit(bool(found))
"""
PATCH = """
--- a/kvm/main.c
+++ b/kvm/main.c
@@ -1 +1,2 @@
 int main;
+mm = current->mm;
"""


def checked(home: Path, check: str, patch: str = "") -> list[Checked]:
    tree = home / "linux"
    files = {
        "linux/Makefile": "",
        "linux/Kconfig": "",
        "linux/scripts/kconfig/Makefile": "",
        "linux/kvm/main.c": "int main;\n",
        "files/kvm/own.c": "int own;\n",
        "check.py": check,
        "0001.patch": patch,
    }
    for name, text in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    recipe = Recipe(
        name="mine",
        source=TreeSource(path=tree),
        fragments=(),
        patches=(home / "0001.patch",) if patch else (),
        tree=home / "files",
    )
    return list(static_check.run(recipe, [home / "check.py"], Cache(home / "cache")))


def test_a_source_without_the_patch_has_nothing_to_find(tmp_path: Path) -> None:
    assert checked(tmp_path, CHECK) == [Checked("check.py", good=True, lines=("",))]


def test_what_a_patch_brings_is_found(tmp_path: Path) -> None:
    assert checked(tmp_path, CHECK, PATCH) == [Checked("check.py", good=False, lines=("main.c",))]
    assert (tmp_path / "linux/kvm/main.c").read_text() == "int main;\n"


def test_files_of_the_recipe_are_seen(tmp_path: Path) -> None:
    (seen,) = checked(tmp_path, "import sys, os; print(sorted(os.listdir(sys.argv[1] + '/kvm')))")
    assert seen.lines == ("['main.c', 'own.c']",)


def test_a_check_that_breaks_is_no_finding(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ended with status 2: no kernel"):
        checked(tmp_path, "import sys; print('no kernel'); sys.exit(2)")
