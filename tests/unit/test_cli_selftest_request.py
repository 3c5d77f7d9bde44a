# SPDX-License-Identifier: Apache-2.0
"""The command that runs a suite of selftests again is the one that was typed."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from lab.cli.selftest import SelftestOptions
from lab.cli.selftest_cells import SelftestRequest, Suite
from lab.config.load import load_lab, usual_toml, with_overrides
from lab.config.model import Arch, HostMode
from lab.errors import ConfigError


def request(toml: Path, options: SelftestOptions) -> SelftestRequest:
    lab = with_overrides(load_lab(usual_toml()), kernel_tree=options.lab_kernel)
    return options.request(Suite.KVM, lab, toml)


def test_rerun_names_the_lab_toml_and_the_tree(tmp_path: Path) -> None:
    options = SelftestOptions(lab_kernel=tmp_path, beside="reference", env=["a=b c"])
    lab, *words = shlex.split(request(tmp_path / "lab.toml", options).typed)
    assert (lab, words[:3]) == ("lab", [f"--lab-toml={tmp_path}/lab.toml", "selftest", "kvm"])
    assert {"--kernel=mine", f"--lab-kernel={tmp_path}", "--beside=reference", "--env=a=b c"} <= {
        *words
    }


def test_rerun_leaves_out_the_lab_toml_that_is_read_anyway() -> None:
    options = SelftestOptions(mode=HostMode.SWALLOWED, kernel="reference")
    typed = request(usual_toml(), options).typed
    assert typed.startswith("lab selftest kvm --kernel=reference --arch=x86_64 --mode=swallowed ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (SelftestOptions(arch=Arch.ARM64, mode=HostMode.SWALLOWED), "no such mode on arm64"),
        (SelftestOptions(beside="stock"), "the kernel under test, in the same mode"),
        (SelftestOptions(env=["soak"]), "--env=soak: expected NAME=VALUE"),
        (SelftestOptions(list_file=Path("~/none")), "--list=~/none: no such file"),
        (SelftestOptions(kunitconfig=Path("none")), "--kunitconfig=none: no such file"),
    ],
)
def test_options_without_sense_are_refused(options: SelftestOptions, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        request(usual_toml(), options)
