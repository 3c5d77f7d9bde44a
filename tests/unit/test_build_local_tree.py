# SPDX-License-Identifier: Apache-2.0
"""Trees as developers have them: each is built, or one sentence says why not."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lab.build import kernel, local_tree
from lab.build.cache import Cache
from lab.build.kernel import KernelImage, Recipe
from lab.build.source import TreeSource, fetch
from lab.errors import ConfigError
from lab.events import nowhere

# As the kernel's Makefile, this refuses a tree that was built in place, and odd paths.
MAKEFILE = """
ifneq ($(words $(subst :, ,$(CURDIR))), 1)
$(error source directory cannot contain spaces or colons)
endif
ifneq ($(wildcard .config include/config arch/*/include/generated),)
$(error the source tree is not clean)
endif
tinyconfig:
	echo 'CONFIG_TINY=y' > $(O)/.config
olddefconfig:
bzImage:
	$(CC) -nostdlib -static -Wl,--build-id=sha1 -o $(O)/vmlinux init/main.c
	mkdir -p $(O)/arch/x86/boot $(O)/include/config
	cp $(O)/vmlinux $(O)/arch/x86/boot/bzImage
	touch $(O)/System.map
	echo 7.3.4$(LOCALVERSION) > $(O)/include/config/kernel.release
"""
FILES = {
    "Makefile": MAKEFILE,
    "Kconfig": "",
    "scripts/kconfig/Makefile": "",
    "init/main.c": '#include "said.h"\nvoid _start(void) {}\n',
    "init/said.h": 'const char said[] = "SAID committed";\n',
    "init/gone.c": "",
    ".gitignore": ".*\n*.o\n/include/config/\n/include/generated/\n",
}
GIT = ("git", "-c", "user.name=lab", "-c", "user.email=lab@example.org")
PATCH = """--- a/init/said.h
+++ b/init/said.h
@@ -1 +1 @@
-const char said[] = "SAID committed";
+const char said[] = "SAID patched";
"""


def git(tree: Path, *words: object) -> None:
    subprocess.run([*GIT, "-C", tree, *map(str, words)], check=True, capture_output=True)


def written(tree: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    return tree


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    tree = written(tmp_path / "linux", FILES)
    subprocess.run([*GIT, "init", "-q", tree], check=True)
    git(tree, "add", "-f", ".")
    git(tree, "commit", "-qm1")
    return tree


def build(tree: Path, patches: tuple[Path, ...] = (), cache: str = "cache") -> KernelImage:
    recipe = Recipe(name="mine", source=TreeSource(path=tree), fragments=(), patches=patches)
    return kernel.build(recipe, "x86_64", Cache(tree.parent / cache))


def said(image: KernelImage) -> bytes:
    return image.vmlinux.read_bytes().partition(b"SAID ")[2].partition(b"\0")[0]


def built_in_place(tree: Path) -> Path:
    return written(
        tree,
        {
            ".config": "CONFIG_OLD=y\n",
            "include/config/auto.conf": "",
            "include/generated/autoconf.h": "",
            "init/main.o": "",
            ".version": "7",
        },
    )


def test_a_checkout_that_was_built_in_place_is_built_from_a_copy_of_its_source(
    checkout: Path,
) -> None:
    before = {path: path.lstat().st_mtime_ns for path in built_in_place(checkout).rglob("*")}
    image = build(checkout)
    assert said(image) == b"committed"
    assert image.config
    assert image.config.read_text() == "CONFIG_TINY=y\n"
    assert {path: path.lstat().st_mtime_ns for path in checkout.rglob("*")} == before
    assert ".config" not in local_tree.files_of(checkout)


def test_only_the_source_of_such_a_tree_makes_another_kernel(checkout: Path) -> None:
    first = build(built_in_place(checkout))
    written(checkout, {"init/main.o": "again", ".config": "CONFIG_OTHER=y\n"})
    assert build(checkout).digest == first.digest
    written(checkout, {"init/said.h": 'const char said[] = "SAID not committed";\n'})
    assert said(build(checkout)) == b"not committed"


def test_a_dirty_index_and_untracked_files_are_built_as_they_lie_there(checkout: Path) -> None:
    built_in_place(checkout)
    (checkout / "init/gone.c").unlink()
    written(checkout, {"init/new.h": 'const char said[] = "SAID untracked";\n'})
    written(checkout, {"init/main.c": '#include "new.h"\nvoid _start(void) {}\n'})
    git(checkout, "add", "init/main.c")
    assert said(build(checkout)) == b"untracked"


def test_objects_of_a_build_within_the_tree_are_no_source(checkout: Path) -> None:
    first = build(checkout)
    written(checkout / "build", {".config": "", "include/generated/autoconf.h": "", "big.o": ""})
    assert build(checkout).digest == first.digest
    patch = checkout.parent / "a.patch"
    patch.write_text(PATCH)
    local_tree.copy(checkout, checkout.parent / "copy")
    assert not (checkout.parent / "copy/build").exists()
    built_in_place(checkout)
    assert "build/big.o" not in local_tree.files_of(checkout)
    assert said(build(checkout, (patch,))) == b"patched"


@pytest.mark.parametrize("name", ["my linux", "linux:next", "l" * 200, "a'b$c"])
def test_a_tree_may_have_an_odd_path(checkout: Path, name: str) -> None:
    odd = checkout.rename(checkout.parent / name)
    assert said(build(odd)) == b"committed"
    patch = checkout.parent / "a.patch"
    patch.write_text(PATCH)
    assert said(build(odd, (patch,))) == b"patched"


def test_the_cache_may_have_an_odd_path(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    image = build(checkout, cache="the cache: mine")
    assert said(image) == b"committed"
    assert image.image.parent.parent.parent.name == "the cache: mine"
    (tmp_path / "t m p").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "t m p"))
    with pytest.raises(ConfigError, match="take no path with a space or a colon") as caught:
        build(checkout, cache="the other cache")
    assert "LAB_CACHE" in str(caught.value)


def test_a_worktree_is_a_tree(checkout: Path) -> None:
    git(checkout, "worktree", "add", "-q", checkout.parent / "side")
    assert said(build(checkout.parent / "side")) == b"committed"
    assert said(build(built_in_place(checkout.parent / "side"))) == b"committed"


def test_a_tree_that_cannot_be_written_is_copied_so_that_it_can_be_patched(checkout: Path) -> None:
    subprocess.run(["chmod", "-R", "a-w", checkout], check=True)
    local_tree.copy(checkout, checkout.parent / "copy")
    subprocess.run(["chmod", "-R", "u+w", checkout], check=True)
    copied = [checkout.parent / "copy", *(checkout.parent / "copy").rglob("*")]
    assert len(copied) > len(FILES)
    assert all(path.stat().st_mode & 0o200 for path in copied)


def test_links_and_names_in_no_encoding_are_copied(checkout: Path) -> None:
    (checkout / "scripts/dtc").symlink_to("../init")
    (checkout / os.fsdecode(b"na\xefve.h")).touch()
    for name in ("walked", "listed by git"):
        local_tree.copy(checkout, into := checkout.parent / name)
        built_in_place(checkout)
        assert (into / "scripts/dtc").readlink() == Path("../init")
        assert os.fsencode(str(into)) + b"/na\xefve.h" in [
            os.fsencode(path) for path in into.iterdir()
        ]


def test_a_tree_that_was_built_in_place_and_is_no_checkout_is_refused(checkout: Path) -> None:
    (checkout / ".git").rename(checkout.parent / "elsewhere")
    written(checkout, {"arch/x86/include/generated/uapi/x.h": ""})
    with pytest.raises(ConfigError, match=r"built in place \('arch/x86/include/generated'") as e:
        fetch(TreeSource(path=checkout), Cache(checkout.parent / "cache"), nowhere)
    assert "mrproper" in str(e.value)


def test_files_of_a_submodule_are_source_too(checkout: Path) -> None:
    sub = written(checkout.with_name("sub"), {"hello.h": "// of the submodule\n"})
    for words in (("init", "-q"), ("add", "."), ("commit", "-qm1")):
        git(sub, *words)
    allowed = ("-c", "protocol.file.allow=always")
    git(checkout, *allowed, "submodule", "--quiet", "add", sub, "drivers/sub")
    listed = local_tree.files_of(checkout)
    assert "drivers/sub/hello.h" in listed
    assert "drivers/sub/hello.h" in local_tree.files_of(built_in_place(checkout))
