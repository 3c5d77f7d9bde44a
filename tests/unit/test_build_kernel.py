# SPDX-License-Identifier: Apache-2.0
"""Building kernels, with a tree that is small and has the goals that a kernel's has."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from lab.build import elf, kernel
from lab.build.cache import Cache
from lab.build.kernel import KernelImage, Recipe
from lab.build.source import GitSource, Source, TarballSource, TreeSource, fetch
from lab.errors import ConfigError, InfraError
from lab.events import Event, Progress, nowhere

MAKEFILE = """
tinyconfig:
	echo 'CONFIG_TINY=y' > $(O)/.config
olddefconfig:
	sed -i '/CONFIG_LOST/d' $(O)/.config
bzImage:
	for n in `seq 40`; do echo "  CC      kernel/$$n.o"; done
	$(CC) -nostdlib -static -Wl,--build-id=sha1 -o $(O)/vmlinux init/main.c
	mkdir -p $(O)/arch/x86/boot $(O)/include/config
	cp $(O)/vmlinux $(O)/arch/x86/boot/bzImage
	touch $(O)/System.map
	echo 7.3.4$(LOCALVERSION) > $(O)/include/config/kernel.release
"""
MAIN = 'const char banner[] = "Linux version 7.3.4-mine (lab)";\nvoid _start(void) {}\n'
PATCH = """
--- a/init/main.c
+++ b/init/main.c
@@ -1,2 +1,3 @@
 const char banner[] = "Linux version 7.3.4-mine (lab)";
+#include "added.h"
 void _start(void) {}
"""


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write(
        tmp_path / "linux",
        {
            "Makefile": MAKEFILE,
            "Kconfig": "",
            "scripts/kconfig/Makefile": "",
            "init/main.c": MAIN,
            "include/added.h": "",
        },
    )


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def recipe(
    source: Source, folder: Path, *, config: str = "CONFIG_KVM=y\n", **rest: object
) -> Recipe:
    fragment = folder / "mine.config"
    fragment.write_text(config)
    return Recipe(name="mine", source=source, fragments=(fragment,), **rest)  # type: ignore[arg-type]


def tarball(tree: Path) -> TarballSource:
    path = tree.parent / "linux-7.3.tar.gz"
    subprocess.run(["tar", "-C", tree.parent, "-czf", path, tree.name], check=True)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return TarballSource(url=str(path), sha256=digest)


def build(made_of: Recipe, cache: Cache) -> KernelImage:
    return kernel.build(made_of, "x86_64", cache)


def test_a_tree_becomes_a_kernel_that_its_build_id_tells(
    tree: Path, tmp_path: Path, cache: Cache
) -> None:
    image = build(recipe(TreeSource(path=tree), tmp_path), cache)
    assert image.release == "7.3.4-mine"
    assert image.image.name == "bzImage"
    assert image.build_id == elf.build_id(image.image)
    assert image.config
    assert image.config.read_text() == "CONFIG_TINY=y\nCONFIG_KVM=y\n"
    assert {path.name for path in image.image.parent.iterdir()} == {
        "bzImage", "vmlinux", "config", "System.map", "release", "manifest.json",
    }  # fmt: skip


def test_a_tree_of_the_user_is_not_written_to(tree: Path, tmp_path: Path, cache: Cache) -> None:
    before = {path: path.stat().st_mtime_ns for path in tree.rglob("*")}
    build(recipe(TreeSource(path=tree), tmp_path), cache)
    assert {path: path.stat().st_mtime_ns for path in tree.rglob("*")} == before


def test_a_change_of_the_tree_is_another_kernel(tree: Path, tmp_path: Path, cache: Cache) -> None:
    made_of = recipe(TreeSource(path=tree), tmp_path)
    first = build(made_of, cache)
    assert build(made_of, cache) == first
    (tree / "init/main.c").write_text(MAIN + "int more;\n")
    assert build(made_of, cache).digest != first.digest


def test_the_same_inputs_give_the_same_bits(tree: Path, tmp_path: Path) -> None:
    made_of = recipe(tarball(tree), tmp_path)
    one, two = (build(made_of, Cache(tmp_path / name)) for name in ("one", "two"))
    assert one.vmlinux.read_bytes() == two.vmlinux.read_bytes()


def test_progress_is_counted_in_objects(tree: Path, tmp_path: Path, cache: Cache) -> None:
    told: list[Event] = []
    kernel.build(recipe(TreeSource(path=tree), tmp_path), "x86_64", cache, sink=told.append)
    done = [event.done for event in told if isinstance(event, Progress) and event.total > 1]
    assert done == [20, 40]


def test_a_line_that_kconfig_drops_is_an_error(tree: Path, tmp_path: Path, cache: Cache) -> None:
    made_of = recipe(TreeSource(path=tree), tmp_path, config="CONFIG_KVM=y\nCONFIG_LOST=y\n")
    with pytest.raises(ConfigError, match=r"mine\.config:2: 'CONFIG_LOST=y' did not survive"):
        build(made_of, cache)


def test_failed_kernel_build_shows_first_error_and_log(
    tree: Path, tmp_path: Path, cache: Cache
) -> None:
    (tree / "init/main.c").write_text("int x = y;\n")
    with pytest.raises(ConfigError, match=r"main\.c:1:9: error: .y. undeclared") as caught:
        build(recipe(TreeSource(path=tree), tmp_path), cache)
    assert caught.value.hint
    log = Path(caught.value.hint.rpartition(" ")[2])
    assert "CC      kernel/1.o" in log.read_text()


def test_patches_and_files_are_laid_over_a_copy(tree: Path, tmp_path: Path, cache: Cache) -> None:
    patch = tmp_path / "0001-more.patch"
    patch.write_text(PATCH.replace('"added.h"', '"../include/added.h"'))
    files = write(tmp_path / "files", {"include/added.h": "int added = 1;\n"})
    source = tarball(tree)
    plain = build(recipe(source, tmp_path), cache)
    made_of = recipe(source, tmp_path, patches=(patch,), tree=files)
    assert build(made_of, cache).build_id != plain.build_id
    kept = fetch(source, cache, nowhere).path
    assert (kept / "init/main.c").read_text() == MAIN
    assert (kept / "include/added.h").read_text() == ""


def test_a_fix_may_change_what_the_recipe_adds(tree: Path, tmp_path: Path, cache: Cache) -> None:
    """The same as one of the recipe's own patches is gone when its files are laid over."""
    files = write(tmp_path / "files", {"init/main.c": MAIN, "include/added.h": "int added = 1;\n"})
    patch = tmp_path / "fix.patch"
    patch.write_text(PATCH.replace('"added.h"', '"../include/added.h"'))
    source = tarball(tree)
    plain = build(recipe(source, tmp_path, tree=files), cache)
    before = build(recipe(source, tmp_path, tree=files, patches=(patch,)), cache)
    fixed = build(recipe(source, tmp_path, tree=files, fixes=(patch,)), cache)
    assert before.build_id == plain.build_id != fixed.build_id


def test_a_patch_that_does_not_apply_is_said_with_the_place(
    tree: Path, tmp_path: Path, cache: Cache
) -> None:
    patch = tmp_path / "0001-more.patch"
    patch.write_text(PATCH.replace("void _start", "void start"))
    made_of = recipe(TreeSource(path=tree), tmp_path, patches=(patch,))
    with pytest.raises(ConfigError, match=r"0001-more\.patch.*init/main\.c:1"):
        build(made_of, cache)


def test_a_tarball_that_is_not_what_was_meant_is_refused(tree: Path, cache: Cache) -> None:
    good = tarball(tree)
    bad = TarballSource(url=good.url, sha256="0" * 64)
    with pytest.raises(ConfigError, match=f"is {good.sha256}, expected {'0' * 64}"):
        fetch(bad, cache, nowhere)


def test_a_tarball_that_is_not_there_is_said(cache: Cache, tmp_path: Path) -> None:
    url = (tmp_path / "none.tar.xz").as_uri()
    with pytest.raises(InfraError, match=r"downloading file:.*none\.tar\.xz"):
        fetch(TarballSource(url=url, sha256="0" * 64), cache, nowhere)


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_a_tag_of_a_repository_is_checked_out(tree: Path, cache: Cache) -> None:
    git = ["git", "-C", str(tree), "-c", "user.name=lab", "-c", "user.email=lab@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm1"], ["tag", "-am1", "v7.3"]):
        subprocess.run([*git, *words], check=True)
    (tree / "init/main.c").unlink()
    got = fetch(GitSource(url=str(tree), ref="v7.3"), cache, nowhere)
    assert (got.path / "init/main.c").read_text() == MAIN
    assert got.name.startswith("git v7.3 ")
    with pytest.raises(ConfigError, match="has no branch or tag 'v9'"):
        fetch(GitSource(url=str(tree), ref="v9"), cache, nowhere)


def test_a_folder_that_is_no_kernel_is_said(tmp_path: Path, cache: Cache) -> None:
    with pytest.raises(ConfigError, match="is not a Linux source tree: it has no 'Makefile'"):
        fetch(TreeSource(path=tmp_path), cache, nowhere)


def test_a_tree_that_was_built_in_place_is_refused(tree: Path, cache: Cache) -> None:
    (tree / ".config").touch()
    with pytest.raises(ConfigError, match="was built in place") as caught:
        fetch(TreeSource(path=tree), cache, nowhere)
    assert "mrproper" in str(caught.value)
