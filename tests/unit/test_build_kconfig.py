# SPDX-License-Identifier: Apache-2.0
"""Fragments: each line survives, or its file, line and reason are said."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab.build.kconfig import Setting, check_survival, lay_over, read_fragments
from lab.errors import ConfigError

KCONFIG = """
config KVM
_bool "Kernel-based Virtual Machine"
_depends on HIGH_RES_TIMERS && \\
__X86_LOCAL_APIC
_help
_  depends on nothing that is said here

menuconfig MENU
_bool "Menu"

config SILENT
_bool
_select SWAP
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "linux/arch/x86/kvm"
    folder.mkdir(parents=True)
    (folder / "Kconfig").write_text(re.sub("^_+", "\t", KCONFIG, flags=re.MULTILINE))
    return tmp_path / "linux"


def fragment(folder: Path, *lines: str, name: str = "mine.config") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_last_wish_for_a_symbol_counts(tmp_path: Path) -> None:
    first = fragment(tmp_path, "# why", "", "CONFIG_KVM=y", "CONFIG_HZ=250", name="a")
    second = fragment(tmp_path, "# CONFIG_KVM is not set", name="b")
    assert read_fragments([first, second]) == (
        Setting("KVM", "n", "b:1"),
        Setting("HZ", "250", "a:4"),
    )


def test_a_line_that_is_no_configuration_is_said_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"mine\.config:2: 'KVM=y' is no kernel configuration"):
        read_fragments([fragment(tmp_path, "CONFIG_A=y", "KVM=y")])


def test_a_fragment_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.config' is not there"):
        read_fragments([tmp_path / "none.config"])


def test_wishes_replace_what_the_configuration_said() -> None:
    config = "# head\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_AB=y\n"
    settings = (Setting("A", "n", "f:1"), Setting("B", "y", "f:2"))
    assert lay_over(config, settings) == (
        "# head\nCONFIG_AB=y\n# CONFIG_A is not set\nCONFIG_B=y\n"
    )


def test_what_survived_is_not_complained_of(tree: Path) -> None:
    settings = (
        Setting("KVM", "y", "f:1"),
        Setting("SWAP", "n", "f:2"),
        Setting("MODULES", "n", "f:3"),
    )
    check_survival(settings, "CONFIG_KVM=y\n# CONFIG_SWAP is not set\n", tree)


@pytest.mark.parametrize(
    ("setting", "config", "said"),
    [
        pytest.param(
            Setting("KVM", "y", "x.config:3"),
            "CONFIG_HIGH_RES_TIMERS=y\n# CONFIG_KVM is not set\n",
            "x.config:3: 'CONFIG_KVM=y' did not survive olddefconfig: it is not set\n"
            "    arch/x86/kvm/Kconfig: depends on HIGH_RES_TIMERS && X86_LOCAL_APIC "
            "(not set: X86_LOCAL_APIC)",
            id="unmet-dependency",
        ),
        pytest.param(
            Setting("SWAP", "n", "x.config:4"),
            "CONFIG_SWAP=y\nCONFIG_SILENT=y\n",
            "x.config:4: '# CONFIG_SWAP is not set' did not survive olddefconfig: CONFIG_SWAP=y\n"
            "    arch/x86/kvm/Kconfig: SILENT, which is set, selects it",
            id="selected",
        ),
        pytest.param(
            Setting("WARP", "y", "x.config:6"),
            "",
            "x.config:6: 'CONFIG_WARP=y' did not survive olddefconfig: it is not set\n"
            "    no Kconfig file of this kernel defines 'WARP'",
            id="unknown-symbol",
        ),
        pytest.param(
            Setting("SILENT", "y", "x.config:5"),
            "",
            "x.config:5: 'CONFIG_SILENT=y' did not survive olddefconfig: it is not set\n"
            "    arch/x86/kvm/Kconfig: it has no prompt, so only another symbol can select it",
            id="no-prompt",
        ),
    ],
)
def test_what_was_lost_is_said_with_place_and_reason(
    setting: Setting, config: str, said: str, tree: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        check_survival([setting], config, tree)
    assert caught.value.args[0] == said
    assert caught.value.hint
