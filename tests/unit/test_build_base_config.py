# SPDX-License-Identifier: Apache-2.0
"""Whole configurations, of distributions and of trees, as what a kernel is built from."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.arch import architecture
from lab.build import base_config, kernel
from lab.build.cache import Cache
from lab.build.kconfig import Setting, check_survival
from lab.build.kernel import KernelImage, Recipe
from lab.build.source import TreeSource
from lab.config.kernels import KernelSpec
from lab.errors import ConfigError
from lab.events import Event, Step

# As of /boot/config-*, made short.
UBUNTU = """#
# Automatically generated file; DO NOT EDIT.
# Linux/x86 6.8.0-45-generic Kernel Configuration
#
CONFIG_X86=y
CONFIG_KVM=m
CONFIG_VIRTIO_BLK=m
CONFIG_SOUND=m
CONFIG_GONE=y
CONFIG_HZ=1000
CONFIG_MAXSMP=y
CONFIG_SYSTEM_TRUSTED_KEYS="debian/canonical-certs.pem"
CONFIG_LOCALVERSION="-generic"
"""
FEDORA = "# x86_64\n" + UBUNTU.replace("6.8.0-45-generic", "6.11.4-301.fc41.x86_64")
MAKEFILE = """
tinyconfig:
	echo 'CONFIG_TINY=y' > $(O)/.config
olddefconfig:
	sed -i '/CONFIG_GONE/d; s/CONFIG_HZ=.*/CONFIG_HZ=250/' $(O)/.config
bzImage:
	$(CC) -nostdlib -static -Wl,--build-id=sha1 -o $(O)/vmlinux init/main.c
	mkdir -p $(O)/arch/x86/boot $(O)/include/config
	cp $(O)/vmlinux $(O)/arch/x86/boot/bzImage
	touch $(O)/System.map
	echo 7.3.4$(LOCALVERSION) > $(O)/include/config/kernel.release
"""


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


def build(
    tree: Path,
    whole: str,
    told: list[Event],
    fragment: str = "CONFIG_KVM=y\n",
    arch: str = "x86_64",
) -> KernelImage:
    home = tree.parent
    (home / "lab.config").write_text(fragment)
    (home / "whole.config").write_text(whole)
    recipe = Recipe(
        name="mine",
        source=TreeSource(path=tree),
        fragments=(home / "lab.config", home / "whole.config"),
    )
    return kernel.build(recipe, arch, Cache(home / "cache"), sink=told.append)


@pytest.mark.parametrize("whole", [UBUNTU, FEDORA])
def test_a_distributions_configuration_is_what_fragments_are_laid_over(
    tree: Path, whole: str
) -> None:
    told: list[Event] = []
    image = build(tree, whole, told)
    assert image.config
    config = image.config.read_text().splitlines()
    assert "CONFIG_X86=y" in config
    assert "CONFIG_KVM=y" in config
    assert "# CONFIG_MAXSMP is not set" in config
    assert 'CONFIG_SYSTEM_TRUSTED_KEYS=""' in config
    assert not [line for line in config if line.endswith("=m") or "TINY" in line]
    (said,) = [e.what for e in told if isinstance(e, Step) and e.what.startswith("config whole")]
    assert "2 modules are left out, and 5 other lines differ: CONFIG_GONE=y -> not set; " in said
    listed = Path(said.rpartition("(all in ")[2].rstrip(")")).read_text()
    assert "CONFIG_SOUND=m -> not set\n" in listed
    assert "CONFIG_HZ=1000 -> 250\n" in listed
    assert "CONFIG_KVM" not in listed


def test_a_changed_configuration_is_another_kernel(tree: Path) -> None:
    first = build(tree, UBUNTU, [])
    assert build(tree, UBUNTU, []).digest == first.digest
    assert build(tree, UBUNTU + "CONFIG_MORE=y\n", []).digest != first.digest


def test_what_the_lab_needs_must_survive_on_top(tree: Path) -> None:
    with pytest.raises(ConfigError, match=r"lab\.config:1: 'CONFIG_GONE=y' did not survive"):
        build(tree, UBUNTU, [], fragment="CONFIG_GONE=y\n")


@pytest.mark.parametrize(
    "text",
    [
        UBUNTU.replace("Linux/x86", "Linux/arm64").replace("CONFIG_X86=y", "CONFIG_ARM64=y"),
        "# Automatically generated file; DO NOT EDIT.\nCONFIG_ARM64=y\n",
    ],
)
def test_a_configuration_of_another_architecture_is_refused(tree: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="is for arm64, and the kernel is built for x86"):
        build(tree, text, [])


def test_ten_differences_are_shown_and_the_rest_is_in_a_file(tmp_path: Path) -> None:
    whole = tmp_path / "whole.config"
    whole.write_text(UBUNTU + "".join(f"CONFIG_N{n}=y\n" for n in range(30)))
    config = base_config.start(whole, architecture("x86_64"))
    assert "CONFIG_N29=y" in config
    said = base_config.differences(whole, "CONFIG_X86=y\n", (), tmp_path / "all")
    assert said.count(" -> ") == 10
    assert len((tmp_path / "all").read_text().splitlines()) == 38


def test_ten_lost_lines_are_explained_and_the_rest_is_counted(tree: Path) -> None:
    settings = [Setting(f"N{n}", "y", f"f:{n}") for n in range(13)]
    with pytest.raises(ConfigError, match="and 3 more lines did not survive") as caught:
        check_survival(settings, "", tree)
    assert str(caught.value).count("did not survive olddefconfig") == 10


def test_the_configuration_of_the_tree_is_used_if_it_is_asked_for(tree: Path) -> None:
    with pytest.raises(ValueError, match=r"no such file: .*linux/\.config"):
        spec(tree.parent, tree="linux", config="tree")
    (tree / ".config").touch()
    assert spec(tree.parent, tree="linux", config="tree").config == (tree / ".config",)
    (tree.parent / "more").touch()
    both = spec(tree.parent, tree="linux", config=["tree", "more"]).config
    assert both == (tree / ".config", tree.parent / "more")
    with pytest.raises(ValueError, match="of a 'tree', and there is none"):
        spec(tree.parent, recipe="stock", config="tree")


def spec(home: Path, **said: object) -> KernelSpec:
    return KernelSpec.model_validate(said, context={"folder": home})
