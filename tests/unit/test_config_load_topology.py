# SPDX-License-Identifier: Apache-2.0
"""Mistakes in a topology: each is one sentence, with the file, the key and what to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.config.enums import Loss
from lab.config.load import load_lab, load_topologies, load_topology
from lab.config.topology import _EXPECTATIONS, Dies, Expectation, Xfail
from lab.errors import ConfigError

ROOT = Path(__file__).parents[2]


def said(file: str, message: str, hint: str) -> str:
    return f"{file}: {message}\nhint: {hint}" if hint else f"{file}: {message}"


TOPOLOGY = """
name = "t"
description = "d"
[host.a]
arch = "x86_64"
[[cells]]
guest = "linux"
vmm = "qemu"
disruption = "none"
expect = "survives"
tier = "ci"
"""


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        (
            'guest = "linux"',
            'guests = ["linux"]',
            "cells[1]: unknown key 'guests'",
            "did you mean 'guest'?",
        ),
        (
            'guest = "linux"',
            'guest = ["linux", "linus"]',
            "cells[1].guest[2]: expected one of 'linux', 'spinner', 'ticker', got 'linus'",
            "did you mean 'linux'?",
        ),
        ('tier = "ci"\n', "", "cells[1]: 'tier' is missing", "add: tier = ..."),
        (
            '"survives"',
            '"survive"',
            "cells[1].expect: no such expectation: 'survive'",
            "did you mean 'survives'?",
        ),
        (
            '"survives"',
            '{xfail = "because"}',
            "cells[1].expect: an xfail needs a reason and a link, got {'xfail': 'because'}",
            _EXPECTATIONS,
        ),
        (
            '"survives"',
            '{dies = {by = ["silent"]}}',
            "cells[1].expect: no check 'silent' loses a guest",
            "did you mean 'silence'?",
        ),
        (
            '"none"',
            '"vcpu-stop"',
            "cells[1]: 'vcpu-stop' needs to know for how long",
            "add: options = [{stop_ms = 250}]",
        ),
        (
            'tier = "ci"',
            'tier = "ci"\noptions = [{stop_ms = 1}]',
            "cells[1]: 'stop_ms' has no effect on 'none'",
            "it is for 'vcpu-stop' only",
        ),
        (
            '"none"',
            '"vcpu-stop"\noptions = [{stop_ms = 1, chaos = true}]',
            "cells[1]: 'chaos' disturbs the time that 'vcpu-stop' measures",
            "leave out one of them",
        ),
        (
            'tier = "ci"',
            'tier = "ci"\noptions = [{}, {memory = "memfd", stopms = 1}]',
            "cells[1].options[2]: unknown key 'stopms'",
            "did you mean 'stop_ms'?",
        ),
        (
            'tier = "ci"',
            'tier = "ci"\noptions = {load = "kexec_load"}',
            "cells[1]: 'load' has no effect on 'none'",
            "it is for 'kexec' only",
        ),
        (
            'tier = "ci"',
            'tier = "ci"\noptions = {through = "mutant"}',
            "cells[1]: 'through' has no effect on 'none'",
            "it is for 'kexec' only",
        ),
        (
            'tier = "ci"',
            'tier = "ci"\noptions = {kexecs = 3}',
            "cells[1]: 'kexecs' is for guests that may outlive each kernel of 'kexec'",
            'add: disruption = "kexec", options = {orphaning = "resident", kexecs = 3}',
        ),
        (
            'tier = "ci"',
            'tier = "ci"\noptions = {memory = "memfd"}',
            "cells[1]: 'memory' has no effect on 'none'",
            "it is for what ends the host's kernel: 'kexec', 'crash-kexec', 'host-reset'",
        ),
        (
            'disruption = "none"',
            'disruption = "kexec"\noptions = {memory = "memfd"}',
            "cells[1]: with 'memory' the memory is judged",
            'add: scope = "memory"',
        ),
        (
            'disruption = "none"',
            'disruption = "kexec"\noptions = {memory = "memfd"}\nscope = "memory"',
            "cells[1]: 'memory' is something that only labvmm can do",
            'type vmm = ["labvmm"]',
        ),
        (
            'vmm = "qemu"\ndisruption = "none"',
            'vmm = "labvmm"\ndisruption = "cpr-transfer"',
            "cells[1]: 'cpr-transfer' is something that only qemu can do",
            'type vmm = ["qemu"]',
        ),
        (
            'tier = "ci"',
            'tier = "ci"\nkernel = ["stok"]',
            "cells[1].kernel: no kernel 'stok' is defined",
            "did you mean 'stock'?",
        ),
        (
            'arch = "x86_64"',
            'arch = "x86_64"\nkernel = "mine"',
            "host.a.kernel: no kernel 'mine' is defined",
            "define [kernel.mine] in lab.toml; there are: debian, stock, reference, mutant, debug",
        ),
        (
            'tier = "ci"',
            'tier = "ci"\nhost = "b"',
            "cells[1].host: no host 'b' here",
            "there are: a",
        ),
        (
            'arch = "x86_64"',
            'arch = "arm64"',
            "host.a: arm64 hosts have no mode 'native'",
            'type mode = "vhe" or "nvhe" or "protected" or "nested"',
        ),
        (
            "[[cells]]",
            '[host.b]\narch = "arm64"\nmode = "vhe"\n[[cells]]',
            "cells[1]: 'host' is missing, and there are 2",
            'add: host = "a"',
        ),
        (
            'name = "t"',
            'name = "s"',
            "name: expected the name of the file, got 's'",
            'type: name = "t"',
        ),
        ('guest = "linux"', "guest = []", "cells[1].guest: must not be empty, got []", ""),
    ],
)
def test_topology_error_is_one_sentence_with_a_remedy(
    tmp_path: Path, old: str, new: str, message: str, hint: str
) -> None:
    assert old in TOPOLOGY
    file = tmp_path / "t.toml"
    file.write_text(TOPOLOGY.replace(old, new))
    lab = load_lab(ROOT / "lab.toml")
    with pytest.raises(ConfigError) as caught:
        load_topology(file, lab)
    assert str(caught.value).replace(f"{tmp_path}/", "") == said("t.toml", message, hint)


def test_a_folder_without_topologies_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "must-run.toml").write_text("")
    with pytest.raises(ConfigError, match="no topology there"):
        load_topologies(tmp_path)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('"dies"', Dies()),
        ('{dies = {by = ["silence", "restart"]}}', Dies(by=(Loss.SILENCE, Loss.RESTART))),
        (
            '{xfail = "not yet", link = "https://x.example/1", by = ["faults"]}',
            Xfail(reason="not yet", link="https://x.example/1", by=(Loss.FAULTS,)),
        ),
    ],
)
def test_an_expectation_may_name_the_checks_that_it_allows(
    tmp_path: Path, written: str, read: Expectation
) -> None:
    file = tmp_path / "t.toml"
    file.write_text(TOPOLOGY.replace('"survives"', written))
    assert load_topology(file).grids[0].expect == read
