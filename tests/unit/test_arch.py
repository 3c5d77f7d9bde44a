# SPDX-License-Identifier: Apache-2.0
"""The record of each architecture says what the files that it stands for say."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

import lab.virt
from lab.arch import Arch, architecture, native
from lab.data import GUEST_IMAGES
from lab.errors import ConfigError

TEMPLATES = Path(lab.virt.__file__).parent / "templates"


@pytest.mark.parametrize("arch", Arch)
def test_domain_template_has_the_records_machine(arch: Arch) -> None:
    text = (TEMPLATES / arch.traits.template).read_text(encoding="utf-8")
    assert f'<type arch="{arch.traits.qemu}" machine="{arch.traits.machine}">' in text


@pytest.mark.parametrize("arch", Arch)
def test_payload_suffix_is_that_of_the_makefile(arch: Arch) -> None:
    text = (GUEST_IMAGES / "l2" / arch / "arch.mk").read_text(encoding="utf-8")
    assert arch.traits.payload_suffix in text


@pytest.mark.parametrize("arch", Arch)
def test_name_leads_to_the_record(arch: Arch) -> None:
    assert architecture(arch.value) is arch.traits
    assert arch.traits.name == arch.value


def test_unknown_architecture_is_told_with_those_known() -> None:
    with pytest.raises(ConfigError, match="unknown architecture 'riscv'") as e:
        architecture("riscv")
    assert e.value.hint == "known are 'x86_64', 'arm64'"


@pytest.mark.parametrize(("machine", "arch"), [("x86_64", Arch.X86_64), ("aarch64", Arch.ARM64)])
def test_this_machine_is_known_by_its_uname(
    machine: str, arch: Arch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=machine))
    assert native() is arch.traits


def test_no_other_module_has_a_table_by_architecture() -> None:
    """What differs by the architecture is in its record, but for modes, which have two keys."""
    table = re.compile(r"^ *(Arch\.(X86_64|ARM64)|\"(x86_64|arm64)\") ?:", re.MULTILINE)
    ours = Path(lab.__file__).parent
    found = {
        str(path.relative_to(ours))
        for path in ours.rglob("*.py")
        if "vmm" not in path.relative_to(ours).parts[:1] and table.search(path.read_text())
    }
    assert found == {"arch.py"}
