# SPDX-License-Identifier: Apache-2.0
"""What lab.toml and a recipe say together, as what is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.build.recipes import recipe_of
from lab.build.source import DebianSource, GitSource, TreeSource
from lab.build.supply import Supply
from lab.config.enums import Arch
from lab.config.kernels import KernelSpec
from lab.errors import ConfigError

RECIPE = """
version = "7.3"
cmdline = ["caretaker=on"]
patches = "patches"
tree = "tree"

[source]
package = "linux-source-7.3"
suites = ["trixie", "trixie-backports"]

[fragments]
common = ["common.config"]
x86_64 = ["x86_64.config"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A lab with one recipe, 'mine', and one tree."""
    recipe = tmp_path / "guest-images/kernels/mine"
    (recipe / "patches").mkdir(parents=True)
    (recipe / "tree").mkdir()
    (recipe / "kernel.toml").write_text(RECIPE)
    for name in ("common.config", "x86_64.config"):
        (recipe / name).touch()
    for name in ("0002-b.patch", "0001-a.patch"):
        (recipe / "patches" / name).write_text("--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n")
    (tmp_path / "linux").mkdir()
    (tmp_path / "more.config").touch()
    (tmp_path / "fix.patch").touch()
    return tmp_path


def spec(folder: Path, **said: object) -> KernelSpec:
    return KernelSpec.model_validate(said, context={"folder": folder})


def test_a_recipe_is_built_with_all_that_it_has(folder: Path) -> None:
    made = recipe_of(
        "mine", spec(folder, recipe="mine"), Arch.X86_64, supply=Supply(("http://m/debian",))
    )
    assert made.source == DebianSource(
        package="linux-source-7.3",
        suites=("trixie", "trixie-backports"),
        version="7.3",
        mirrors=("http://m/debian",),
    )
    assert [path.name for path in made.fragments] == ["common.config", "x86_64.config"]
    assert [path.name for path in made.patches] == ["0001-a.patch", "0002-b.patch"]
    assert made.tree
    assert made.cmdline == ("caretaker=on",)


def test_what_lab_toml_adds_comes_last(folder: Path) -> None:
    said = spec(folder, recipe="mine", config=["more.config"], patches=["fix.patch"])
    made = recipe_of("mine", said, Arch.X86_64)
    assert made.fragments[-1].name == "more.config"
    assert [path.name for path in made.fixes] == ["fix.patch"]


def test_a_tree_of_the_user_takes_only_the_fragments_of_a_recipe(folder: Path) -> None:
    made = recipe_of("theirs", spec(folder, tree="linux", fragments="mine"), Arch.X86_64)
    assert made.source == TreeSource(path=folder / "linux")
    assert len(made.fragments) == 2
    assert (made.patches, made.tree, made.cmdline) == ((), None, ())


def test_a_repository_is_a_source(folder: Path) -> None:
    said = spec(folder, git="https://example.org/linux.git", ref="v7.4", fragments="mine")
    made = recipe_of("theirs", said, Arch.X86_64)
    assert made.source == GitSource(url="https://example.org/linux.git", ref="v7.4")


def test_a_recipe_that_is_not_for_an_architecture_says_so(folder: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"mine/kernel\.toml: the recipe has no fragments for arm"
    ):
        recipe_of("mine", spec(folder, recipe="mine"), Arch.ARM64)
