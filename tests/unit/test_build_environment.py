# SPDX-License-Identifier: Apache-2.0
"""The user's environment changes neither what is built nor what is the user's."""

from __future__ import annotations

import ast
import os
import subprocess
from pathlib import Path

import pytest

from lab.build import kernel
from lab.build.cache import Cache
from lab.build.commands import follow, output, output_of_bytes
from lab.build.kernel import KernelImage, Recipe
from lab.build.recipes import recipe_of
from lab.build.repository import check_out, commit_of
from lab.build.source import TreeSource
from lab.child_env import child_env
from lab.config.enums import Arch
from lab.config.kernels import KernelSpec
from lab.config.load import with_overrides
from lab.config.model import LabConfig
from lab.errors import UnavailableError
from lab.events import Event, Sink, Step, nowhere

# As the kernel's makefiles heed them.
MAKEFILE = """
KCONFIG_CONFIG ?= $(O)/.config
tinyconfig:
	echo '# CONFIG_TINY=y' > $(KCONFIG_CONFIG)
olddefconfig:
	test -e $(KCONFIG_CONFIG)
bzImage:
	mkdir -p $(O)/arch/x86/boot $(O)/include/config
	echo 'const char said[] = "LLVM=$(LLVM) $(KCFLAGS) $(ARCH) $(V)";' > $(O)/said.c
	$(CC) -nostdlib -static -Wl,--build-id=sha1 -o $(O)/vmlinux init/main.c $(O)/said.c
	cp $(O)/vmlinux $(O)/arch/x86/boot/bzImage
	touch $(O)/System.map
	echo 7.3.4$(LOCALVERSION) > $(O)/include/config/kernel.release
"""
GIT = ("git", "-c", "user.name=lab", "-c", "user.email=lab@example.org")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "linux"
    for name, text in {
        "Makefile": MAKEFILE,
        "Kconfig": "",
        "scripts/kconfig/Makefile": "",
        "init/main.c": "void _start(void) {}\n",
    }.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    return tree


def build(tree: Path, make: tuple[str, ...] = (), sink: Sink = nowhere) -> KernelImage:
    recipe = Recipe(name="mine", source=TreeSource(path=tree), fragments=(), make=make)
    return kernel.build(recipe, "x86_64", Cache(tree.parent / "cache"), sink=sink)


def said(image: KernelImage) -> bytes:
    return image.vmlinux.read_bytes().partition(b"LLVM=")[2].partition(b"\0")[0]


def test_the_configuration_that_the_user_points_at_is_not_written(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tree.parent / "my.config"
    mine.write_text("CONFIG_MINE=y\n")
    monkeypatch.setenv("KCONFIG_CONFIG", str(mine))
    image = build(tree)
    assert mine.read_text() == "CONFIG_MINE=y\n"
    assert image.config
    assert "TINY" in image.config.read_text()


def test_the_environment_of_a_build_has_no_effect_and_that_is_told(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "LLVM": "1", "CC": "/bin/false", "ARCH": "um", "KCFLAGS": "-O3", "V": "1", "O": "/nowhere",
        "MAKEFLAGS": "-n", "LD_PRELOAD": "/none.so", "CROSS_COMPILE": "none-", "LANG": "tr_TR",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    told: list[Event] = []
    assert said(build(tree, sink=told.append)) == b"  x86 "
    steps = " ".join(event.what for event in told if isinstance(event, Step))
    assert "CC=/bin/false, CROSS_COMPILE=none-, KCFLAGS=-O3, LLVM=1 of the environment" in steps
    assert "in [kernel.mine]" in steps


def test_what_lab_toml_has_for_make_counts_and_makes_another_kernel(tree: Path) -> None:
    plain, tuned = build(tree), build(tree, ("KCFLAGS=-O3 -g", "CC=cc"))
    assert (said(plain), said(tuned)) == (b"  x86 ", b" -O3 -g x86 ")
    assert plain.digest != tuned.digest
    assert (plain.make, tuned.make) == ((), ("KCFLAGS=-O3 -g", "CC=cc"))
    assert tuned.compiler.startswith("cc ")
    assert plain.compiler.startswith("gcc ")


@pytest.mark.parametrize(
    ("word", "program", "package"),
    [
        ("CC=gcc-0.1", "gcc-0.1", "gcc-0.1"),
        ("LLVM=-0", "clang-0", "clang-0"),
        ("LLVM=/none/", "/none/clang", "clang"),
        ("CROSS_COMPILE=none-", "none-gcc", "gcc"),
    ],
)
def test_a_compiler_that_is_not_there_is_said(
    tree: Path, word: str, program: str, package: str
) -> None:
    with pytest.raises(UnavailableError, match=f"'{program}' is not installed") as caught:
        build(tree, (word,))
    assert caught.value.hint == f"apt install {package}"


def test_another_repository_is_not_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("theirs", "mine"):
        subprocess.run([*GIT, "init", "-q", "-b", "master", tmp_path / name], check=True)
        (tmp_path / name / "file").write_bytes(name.encode() + b"\n")
        for words in (["add", "."], ["commit", "-qm", name]):
            subprocess.run([*GIT, "-C", tmp_path / name, *words], check=True)
    mine, before = tmp_path / "mine/.git", (tmp_path / "mine/.git/HEAD").read_text()
    (tmp_path / ".gitconfig").write_text("[core]\n\tautocrlf = true\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", str(mine))
    monkeypatch.setenv("GIT_WORK_TREE", str(mine.parent))
    url = str(tmp_path / "theirs")
    check_out(url, "master", commit_of(url, "master"), tmp_path / "out")
    assert (mine / "HEAD").read_text() == before
    assert (tmp_path / "out/file").read_bytes() == b"theirs\n"


def test_programs_are_run_with_listed_variables_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PYTHONSTARTUP", "LD_PRELOAD", "SOME_SECRET", "LC_ALL", "http_proxy"):
        monkeypatch.setenv(name, "of the user")
    lines: list[str] = []
    follow(["env"], tmp_path / "log", lines.append, env={"MORE": "1"})
    for env in (lines, output(["env"], doing="").splitlines()):
        assert "LC_ALL=C.UTF-8" in env
        assert not [line for line in env if "of the user" in line]
    assert "MORE=1" in lines
    assert b"of the user" not in output_of_bytes(["env"], b"")
    assert "http_proxy=of the user" in output(["env"], doing="", network=True)


def test_what_programs_make_can_be_read_by_libvirts_qemu(tmp_path: Path) -> None:
    log = tmp_path / "log"
    old = os.umask(0o077)
    try:
        output(["mkdir", tmp_path / "a"], doing="")
        follow(["mkdir", tmp_path / "b"], log, lambda _: None)
    finally:
        os.umask(old)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in "ab"] == [0o755, 0o755]


def test_python_children_import_this_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("PYTHONHOME", "/elsewhere")
    env = child_env(python=True)
    assert (Path(env["PYTHONPATH"]) / "lab/child_env.py").is_file()
    assert "PYTHONHOME" not in env
    assert "PYTHONPATH" not in child_env()


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("LLVM", "expected NAME=VALUE, got 'LLVM'"),
        ("LLVM=", "expected NAME=VALUE"),
        ("-n", "expected NAME=VALUE"),
        ("O=/tmp/o", "O is set by the lab: trees are built out of place"),
        ("ARCH=um", "ARCH is set by the lab"),
        ("KCONFIG_CONFIG=my.config", "KCONFIG_CONFIG is set by the lab"),
    ],
)
def test_a_word_that_is_not_for_make_is_refused(tree: Path, word: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        KernelSpec(tree=tree, make=(word,))


def test_words_for_make_go_with_a_tree_that_stands_for_stock(tree: Path) -> None:
    image = tree.parent / "bzImage"
    image.touch()
    with pytest.raises(ValueError, match="'image' is taken as it is, so 'make' has no effect"):
        KernelSpec(image=image, make=("LLVM=1",))
    stock = KernelSpec(recipe=Path("stock"), make=("LLVM=1",))
    lab = LabConfig(kernel={"stock": stock})
    mine = with_overrides(lab, kernel_tree=tree).kernel["mine"]
    assert mine.make == ("LLVM=1",)
    assert recipe_of("mine", mine, Arch.X86_64).make == ("LLVM=1",)


def test_every_program_of_the_lab_is_run_with_an_environment_of_its_own() -> None:
    allowed = {"lab/cli/child_process.py"}  # pytest, once more: the same user's same run
    bare = [
        f"{path}:{call.lineno}"
        for path in sorted(Path("lab").rglob("*.py"))
        if path.parts[1] != "vmm" and str(path) not in allowed
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and ast.unparse(call.func).startswith("subprocess.")
        and "env" not in [keyword.arg for keyword in call.keywords]
    ]
    assert bare == []
