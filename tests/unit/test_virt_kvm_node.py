# SPDX-License-Identifier: Apache-2.0
"""/dev/kvm without udev: QEMU's user may open it, and nobody is asked for more than that."""

from __future__ import annotations

import grp
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from lab.virt.kvm_node import share_with_qemu


class Node:
    """A device of KVM, and what is done to it."""

    def __init__(self, tmp_path: Path, mode: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = tmp_path / "kvm"
        self.path.touch()
        self.path.chmod(mode)
        self.groups: list[int] = []
        self.told: list[str] = []
        self.group = self.path.stat().st_gid + 1
        monkeypatch.setattr(grp, "getgrnam", lambda _: SimpleNamespace(gr_gid=self.group))
        monkeypatch.setattr(os, "chown", lambda _path, _user, group: self.groups.append(group))

    def share(self) -> None:
        """Do what a start of libvirtd does first."""
        share_with_qemu(self.path, lambda event: self.told.append(str(event)))


def test_qemus_group_may_open_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(tmp_path, 0o660, monkeypatch)
    node.share()
    assert node.groups == [node.group]
    assert "has the group kvm now" in node.told[0]


@pytest.mark.parametrize("mode", [0o666, 0o606])
def test_what_everybody_may_open_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    node = Node(tmp_path, mode, monkeypatch)
    node.share()
    assert (node.groups, node.told) == ([], [])


@pytest.mark.parametrize("mode", [0o662, 0o664])
def test_reading_or_writing_alone_is_not_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    node = Node(tmp_path, mode, monkeypatch)
    node.share()
    assert node.groups == [node.group]


def test_a_device_of_the_right_group_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(tmp_path, 0o660, monkeypatch)
    node.group -= 1
    node.share()
    assert node.groups == []


def test_a_machine_without_kvm_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(tmp_path, 0o660, monkeypatch)
    node.path.unlink()
    node.share()
    assert (node.groups, node.told) == ([], [])


def test_a_device_that_cannot_be_changed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(tmp_path, 0o660, monkeypatch)

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    node.share()
    assert f"chgrp kvm {node.path}" in node.told[0]
