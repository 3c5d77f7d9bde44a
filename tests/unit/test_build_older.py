# SPDX-License-Identifier: Apache-2.0
"""The stock fragments on trees of other versions: what a tree has not is left out, and named."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.build import kconfig, kernel, older
from lab.build.cache import Cache
from lab.build.kernel import KernelImage, Recipe
from lab.build.recipes import recipe_of
from lab.build.source import TreeSource
from lab.config.cell_request import CellRequest
from lab.config.enums import Arch
from lab.config.kernels import KernelSpec
from lab.config.model import Accel, Cell, DisruptionKind, MemoryKind, Options, VmmKind
from lab.errors import ConfigError
from lab.events import Event, Step
from lab.runner.lacking import lacking
from tests.support.cell_stage import LAB

STOCK = Path(__file__).parents[2] / "guest-images" / "kernels" / "stock"
# kconfig, as far as it matters here: what no Kconfig file defines is dropped, and so is KEXEC_FILE
# without the hash that it depends on where it does not select it.
MAKEFILE = r"""
tinyconfig:
	echo 'CONFIG_TINY=y' > $(O)/.config
olddefconfig:
	sed -nE 's/^(menu)?config (.*)/CONFIG_\2=/p' Kconfig > $(O)/known
	grep -F -f $(O)/known $(O)/.config > $(O)/new
	if grep -q 'depends on CRYPTO_SHA256=y' Kconfig && ! grep -q '^CONFIG_CRYPTO_SHA256=y' $(O)/new; then sed -i '/CONFIG_KEXEC_FILE=/d' $(O)/new; fi
	mv $(O)/new $(O)/.config
bzImage:
	$(CC) -nostdlib -static -Wl,--build-id=sha1 -o $(O)/vmlinux init/main.c
	mkdir -p $(O)/arch/x86/boot $(O)/include/config
	cp $(O)/vmlinux $(O)/arch/x86/boot/bzImage
	sed -i /CONFIG_PVH/d $(O)/.config # what is linked here has no note for it
	touch $(O)/System.map
	echo $(VERSION)$(LOCALVERSION) > $(O)/include/config/kernel.release
"""  # noqa: E501 - a line of a makefile
HANDOVER = {"KEXEC_HANDOVER", "KEXEC_HANDOVER_DEBUGFS", "LIVEUPDATE", "LIVEUPDATE_MEMFD"}
# As found in the sources: Debian's linux-source-6.1 (6.1.192-3), linux-source-6.12 (6.12.117-1).
LACKS = {
    "6.1.192": HANDOVER
    | {"SQUASHFS_COMPILE_DECOMP_MULTI_PERCPU", "KVM_SW_PROTECTED_VM", "KVM_SMM"},
    "6.12.117": HANDOVER,
}


def stock_fragments() -> tuple[kconfig.Setting, ...]:
    return kconfig.read_fragments([STOCK / "common.config", STOCK / "x86_64.config"])


def tree_of(folder: Path, version: str, *, without: set[str]) -> Path:
    tree = folder / f"linux-{version}"
    symbols = {each.symbol for each in stock_fragments()} | {"TINY", "CRYPTO_SHA256"}
    blocks = [f'config {name}\n\tbool "{name}"\n' for name in sorted(symbols - without)]
    if version.startswith("6.1."):
        blocks.append("# depends on CRYPTO_SHA256=y\n")
    for name, text in {
        "Makefile": f"VERSION = {version}\n{MAKEFILE}",
        "Kconfig": "".join(blocks),
        "scripts/kconfig/Makefile": "",
        "init/main.c": "void _start(void) {}\n",
    }.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    return tree


def build(tree: Path, told: list[Event], *, config: str = "") -> KernelImage:
    said: dict[str, object] = {"tree": tree}
    if config:
        (tree.parent / "mine.config").write_text(config)
        said["config"] = [tree.parent / "mine.config"]
    spec = KernelSpec.model_validate(said).model_copy(update={"fragments": STOCK})
    recipe = recipe_of("mine", spec, Arch.X86_64)
    return kernel.build(recipe, "x86_64", Cache(tree.parent / "cache"), sink=told.append)


def cell(**options: object) -> Cell:
    made = CellRequest(vmm=VmmKind.QEMU, disruption=DisruptionKind.KEXEC).cell(LAB, accel=Accel.TCG)
    return made.model_copy(update={"options": Options.model_validate(options)})


@pytest.mark.parametrize("version", LACKS)
def test_what_an_older_tree_lacks_is_named_and_the_rest_is_built(
    version: str, tmp_path: Path
) -> None:
    told: list[Event] = []
    image = build(tree_of(tmp_path, version, without=LACKS[version]), told)
    assert image.release == f"{version}-mine"
    (line,) = [e.what for e in told if isinstance(e, Step) and "this tree has no" in e.what]
    assert {word.strip(",:") for word in line.split() if word.startswith("CONFIG_")} == {
        f"CONFIG_{name}" for name in LACKS[version]
    }
    assert not image.lacks("KEXEC_FILE")
    assert image.lacks("CRYPTO_SHA256") is not version.startswith("6.1.")
    assert lacking(cell(), image, image) is None
    why = lacking(cell(memory=MemoryKind.MEMFD), image, image)
    assert why == (
        f"kernel 'mine' ({version}-mine) has no CONFIG_KEXEC_HANDOVER (handing memory over), "
        "no CONFIG_LIVEUPDATE (a live update session)"
    )


def test_a_tree_that_has_everything_leaves_nothing_out(tmp_path: Path) -> None:
    told: list[Event] = []
    image = build(tree_of(tmp_path, "7.3.4", without=set()), told)
    assert not [e for e in told if isinstance(e, Step) and "this tree has no" in e.what]
    assert not image.lacks("LIVEUPDATE")


@pytest.mark.parametrize("name", sorted(older.ESSENTIAL & {s.symbol for s in stock_fragments()}))
def test_what_no_host_can_be_without_is_an_error(name: str, tmp_path: Path) -> None:
    tree = tree_of(tmp_path, "7.3.4", without={name})
    settings = stock_fragments()
    config = "".join(f"{s.line}\n" for s in settings if s.symbol != name)
    fit = older.fit(settings, config, tree)
    assert fit.left_out == ()
    with pytest.raises(ConfigError, match=f"no Kconfig file of this kernel defines '{name}'"):
        kconfig.check_survival(settings, config, tree)


def test_the_users_own_line_must_survive_on_any_tree(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, "6.12.117", without=LACKS["6.12.117"])
    with pytest.raises(ConfigError, match=r"mine\.config:1: 'CONFIG_LIVEUPDATE=y' did not survive"):
        build(tree, [], config="CONFIG_LIVEUPDATE=y\n")


def test_a_recipe_has_fragments_for_its_own_source(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, "6.12.117", without=LACKS["6.12.117"])
    recipe = Recipe(
        name="mine",
        source=TreeSource(path=tree),
        fragments=(STOCK / "common.config", STOCK / "x86_64.config"),
    )
    with pytest.raises(ConfigError, match="'CONFIG_LIVEUPDATE=y' did not survive"):
        kernel.build(recipe, "x86_64", Cache(tmp_path / "cache"))
    spec = KernelSpec.model_validate({"recipe": STOCK})
    assert recipe_of("stock", spec, Arch.X86_64).borrowed == ()
