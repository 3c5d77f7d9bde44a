# SPDX-License-Identifier: Apache-2.0
"""Each way of being wrong in a file is one ConfigError that says what to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.config.load import kernel_parameters, load_lab, load_recipe, with_overrides
from lab.config.model import (
    Accel,
    Arch,
    FromDebian,
    FromGit,
    FromImage,
    FromRecipe,
    FromTarball,
    FromTree,
    LabConfig,
)
from lab.errors import ConfigError

ROOT = Path(__file__).parents[2]
SHA = "0" * 64


def lab_of(tmp_path: Path, text: str) -> LabConfig:
    file = tmp_path / "lab.toml"
    file.write_text(text)
    return load_lab(file)


def complaint(tmp_path: Path, text: str) -> str:
    """Return what is said about a lab.toml with `text`, without the folder it is in."""
    with pytest.raises(ConfigError) as caught:
        lab_of(tmp_path, text)
    return str(caught.value).replace(f"{tmp_path}/", "")


def said(file: str, message: str, hint: str) -> str:
    return f"{file}: {message}\nhint: {hint}" if hint else f"{file}: {message}"


def test_the_committed_lab_toml_says_what_is_assumed_without_it(tmp_path: Path) -> None:
    committed, empty = load_lab(ROOT / "lab.toml"), lab_of(tmp_path, "")
    tuned = {"kernel", "watch"}
    assert committed.model_dump(exclude=tuned) == empty.model_dump(exclude=tuned)
    assert committed.libvirt.uris == ("auto",)
    assert committed.patience.boot == 120
    assert list(committed.kernel) == ["debian", "stock", "reference", "mutant", "debug"]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[host]\nvcpu = 2", "host: unknown key 'vcpu'", "did you mean 'vcpus'?"),
        ("[hosts]\n", "unknown key 'hosts'", "did you mean 'host'?"),
        ("[budget]\ncolour = 2", "budget: unknown key 'colour'", "known keys: memory_mib, cores"),
        ("[nightly]\nrepeats = 2", "nightly.repeats: expected a table, got 2", ""),
        ("[nightly.repeats]\n'*' = 0", "nightly.repeats.*: must be at least 1, got 0", ""),
        ("[report]\nkept = 2", "report: unknown key 'kept'", "did you mean 'keep'?"),
        ("[patience]\nboot = 2", "patience: unknown key 'boot'", "did you mean 'boot_s'?"),
        (
            "[host.cpu_model]\ntgc = 'max'",
            "host.cpu_model: unknown key 'tgc'",
            "did you mean 'tcg'?",
        ),
        ("[kernel.a]\ntre = 'x'", "kernel.a: unknown key 'tre'", "did you mean 'tree'?"),
        ('[host]\nvcpus = "2"', "host.vcpus: expected a whole number, got '2'", "type: vcpus = 2"),
        ("[host]\nvcpus = true", "host.vcpus: expected a whole number, got True", ""),
        ("[host]\nvcpus = 2.0", "host.vcpus: expected a whole number, got 2.0", "type: vcpus = 2"),
        ("[host]\nvcpus = 0", "host.vcpus: must be at least 1, got 0", ""),
        ("[watch]\nafter_s = -1", "watch.after_s: must be more than 0, got -1", ""),
        ("mirror = 3", 'mirror[1]: expected a text in "quotes", got 3', 'type: mirror = "3"'),
        ("host = 3", "host: expected a table, got 3", ""),
        (
            "[libvirt]\nuris = 'qemu:///system'",
            "libvirt.uris: expected a list in [brackets], got 'qemu:///system'",
            'type: uris = ["qemu:///system"]',
        ),
        ("[libvirt]\nuris = []", "libvirt.uris: must not be empty, got []", ""),
        (
            "[host]\naccelerator = 'kvmm'",
            "host.accelerator: expected one of 'auto', 'kvm', 'tcg', got 'kvmm'",
            "did you mean 'kvm'?",
        ),
        (
            "[host]\n\nvcpus 2",
            "line 3: not TOML: Expected '=' after a key in a key/value pair, in: vcpus 2",
            'one `key = value` a line; texts are in "quotes"',
        ),
        ("[kernel.a]\ntree = 'gone'", "kernel.a.tree: no such folder: 'gone'", "looked for gone"),
        (
            "[kernel.a]\nrecipe = 'stok'",
            "kernel.a.recipe: no recipe 'stok' in guest-images/kernels/",
            "did you mean 'stock'?",
        ),
        (
            "[kernel.a]\nconfig = []",
            "kernel.a: expected exactly one source, got none",
            "keep one of: recipe, tree, tarball, git, image, package, packages",
        ),
        (
            "[kernel.a]\ntree = '.'\nrecipe = 'stock'",
            "kernel.a: expected exactly one source, got 'recipe' and 'tree'",
            "keep one of: recipe, tree, tarball, git, image, package, packages",
        ),
        (
            "[kernel.a]\ngit = 'https://x.example/linux'",
            "kernel.a: 'git' comes without 'ref'",
            "add: ref = '...'",
        ),
        (
            "[kernel.a]\ntree = '.'\nref = 'v7'",
            "kernel.a: 'ref' comes without 'git'",
            "add 'git', or remove 'ref'",
        ),
        (
            "[kernel.a]\ntarball = 'linux.tar.xz'\nsha256 = '12'",
            "kernel.a.tarball: no such file: 'linux.tar.xz'",
            "looked for linux.tar.xz",
        ),
        (
            "[kernel.a]\ntarball = 'https://x.example/l.tar'\nsha256 = '12'",
            "kernel.a.sha256: '12' does not have the form ^[0-9a-f]{64}$",
            "`sha256sum FILE` prints it",
        ),
        (
            "[kernel.a]\nimage = 'lab.toml'\npatches = ['.']",
            "kernel.a: 'image' is taken as it is, so 'patches' has no effect",
            "",
        ),
        (
            "[kernel.a]\ntree = '.'\nconfig = ['lab.toml', 'no.config']",
            "kernel.a.config[2]: no such file: 'no.config'",
            "looked for no.config",
        ),
        (
            "[kernel.'A b']\ntree = '.'",
            "kernel.A b: 'A b' does not have the form ^[a-z0-9][a-z0-9._-]*$",
            "small letters, digits, '.', '_' and '-'",
        ),
        (
            "[kernel.stock]\ntree = '.'\n[kernel.a]\ntree = '.'\nstands_for = 'stok'",
            "kernel.a.stands_for: no kernel 'stok' is defined",
            "did you mean 'stock'?",
        ),
    ],
)
def test_a_mistake_in_lab_toml_is_one_sentence_and_what_to_type(
    tmp_path: Path, text: str, message: str, hint: str
) -> None:
    assert complaint(tmp_path, text) == said("lab.toml", message, hint)


def test_a_misspelt_key_is_named_before_the_gap_it_leaves(tmp_path: Path) -> None:
    (tmp_path / "kernel.toml").write_text("vershion = '7.3'\n[source]\n[fragments]\n")
    with pytest.raises(ConfigError, match=r"unknown key 'vershion'\nhint: did you mean 'version'"):
        load_recipe(tmp_path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text("")
    with pytest.raises(
        ConfigError, match=r"lba\.toml: no such file\nhint: did you mean 'lab\.toml'"
    ):
        load_lab(tmp_path / "lba.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_lab(tmp_path)


def test_text_that_is_not_utf8_is_named_by_line(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_bytes(b"[host]\n# caf\xe9\n")
    with pytest.raises(ConfigError, match="line 2: not UTF-8"):
        load_lab(tmp_path / "lab.toml")


def test_an_unclosed_text_at_the_end_is_named_by_line(tmp_path: Path) -> None:
    assert complaint(tmp_path, '[host]\nmirror = "abc').startswith("lab.toml: line 2: not TOML")


def test_a_source_is_one_of_five(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "l.tar").write_text("")
    lab = lab_of(
        tmp_path,
        f"""
        kernel.a.recipe = "stock"
        kernel.b.tree = "tree"
        kernel.c = {{tarball = "https://x.example/l.tar", sha256 = "{SHA}"}}
        kernel.d = {{git = "https://x.example/linux", ref = "v7.3"}}
        kernel.e.image = "l.tar"
        kernel.f = {{tarball = "l.tar", sha256 = "{SHA}"}}
        """,
    )
    assert [spec.source for spec in lab.kernel.values()] == [
        FromRecipe(folder=ROOT / "guest-images/kernels/stock"),
        FromTree(folder=tmp_path / "tree"),
        FromTarball(url="https://x.example/l.tar", sha256=SHA),
        FromGit(url="https://x.example/linux", ref="v7.3"),
        FromImage(file=tmp_path / "l.tar"),
        FromTarball(url=str(tmp_path / "l.tar"), sha256=SHA),
    ]
    assert {spec.recipe_folder.name for spec in lab.kernel.values()} == {"stock"}


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert lab_of(tmp_path, 'cache = "~/c"').cache == tmp_path / "c"


def test_stock_recipe_is_debian_source_with_existing_fragments() -> None:
    recipe = load_recipe(ROOT / "guest-images/kernels/stock")
    assert isinstance(recipe.origin, FromDebian)
    assert recipe.origin.package == f"linux-source-{recipe.version}"
    names = [path.name for path in recipe.fragments_for(Arch.X86_64)]
    assert names == ["common.config", "x86_64.config"]


def test_recipe_without_fragments_for_an_architecture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.config").write_text("")
    source = f'version = "1"\nsource = {{tarball = "https://x.example/l", sha256 = "{SHA}"}}\n'
    (tmp_path / "kernel.toml").write_text(f'{source}fragments.common = ["a.config"]\n')
    assert load_recipe(tmp_path).fragments_for(Arch.ARM64) == ()
    assert isinstance(load_recipe(tmp_path).origin, FromTarball)


def test_what_lab_toml_adds_to_a_command_line_comes_last(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, '[kernel.mine]\nrecipe = "debug"\ncmdline = ["a=1", "b"]\n')
    usual = load_recipe(ROOT / "guest-images/kernels/debug").cmdline
    assert usual
    assert kernel_parameters(lab.kernel["mine"]) == (*usual, "a=1", "b")


@pytest.mark.parametrize(
    "words", ["rdinit=/bin/sh", "ro lab.nonce=1", "noinitrd", "sysctl.kernel.printk=1"]
)
def test_words_with_which_no_host_would_answer_are_refused(tmp_path: Path, words: str) -> None:
    with pytest.raises(ConfigError, match=r"kernel\.mine\.cmdline.*is set by the lab"):
        lab_of(tmp_path, f'[kernel.mine]\nrecipe = "stock"\ncmdline = ["{words}"]\n')


def test_a_tree_on_the_command_line_stands_for_stock(tmp_path: Path) -> None:
    tree, fragment = tmp_path / "linux", tmp_path / "my.config"
    tree.mkdir()
    fragment.write_text("")
    lab = lab_of(tmp_path, '[kernel.stock]\nrecipe = "stock"\nconfig = ["my.config"]')
    mine = with_overrides(lab, kernel_tree=tree, accelerator=Accel.TCG)
    assert mine.kernel_for("stock") == "mine"
    assert mine.kernel["mine"].source == FromTree(folder=tree)
    assert mine.kernel["mine"].config == (fragment,)
    assert mine.kernel["mine"].recipe_folder == mine.kernel["stock"].recipe
    assert mine.host.accelerator is Accel.TCG
    assert lab.kernel_for("stock") == "stock"


def test_kernel_tree_option_overrides_stands_for_in_lab_toml(tmp_path: Path) -> None:
    lab = lab_of(
        tmp_path, 'kernel.stock.recipe = "stock"\nkernel.a = {tree = ".", stands_for = "stock"}'
    )
    assert lab.kernel_for("stock") == "a"
    assert with_overrides(lab, kernel_tree=tmp_path).kernel_for("stock") == "mine"


def test_a_tree_on_the_command_line_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--lab-kernel: tree: no such folder: '.*gone'"):
        with_overrides(LabConfig(), kernel_tree=tmp_path / "gone")
