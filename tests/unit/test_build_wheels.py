# SPDX-License-Identifier: Apache-2.0
"""Python packages in the lock, with a digest for each Python; and what is said of tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lab.build import tool_versions, wheels
from lab.config.lock import Lock
from lab.errors import InfraError
from lab.events import nowhere


def entry(name: str, version: str, digest: str | None) -> dict[str, Any]:
    hashes = {} if digest is None else {"sha256": digest}
    return {
        "metadata": {"name": name, "version": version},
        "download_info": {"archive_info": {"hashes": hashes}},
    }


LAB = {
    "metadata": {"name": "caretaker-lab", "version": "1"},
    "download_info": {"dir_info": {"editable": True}},
}


class Pip:
    """Answers for pip: another file for each machine, and the pins that it was given."""

    def __init__(self) -> None:
        self.first = [LAB, entry("Markdown.It_py", "3", "a" * 64)]
        self.pins: set[str] = set()

    def __call__(self, command: list[Any], **_: Any) -> str:
        """Write the report that is asked for."""
        found = self.first
        if "--platform" in command:
            machine = "b" if any("aarch64" in str(word) for word in command) else "c"
            found = [entry("markdown-it-py", "3", machine * 64)]
            self.pins.add(Path(command[-1]).read_text())
        Path(command[command.index("--report") + 1]).write_text(json.dumps({"install": found}))
        return ""


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> Pip:
    made = Pip()
    monkeypatch.setattr(wheels, "output", made)
    return made


def test_one_release_has_the_files_of_all_pythons_and_machines(pip: Pip) -> None:
    (one,) = wheels.choose(nowhere)
    assert (one.name, one.version) == ("markdown-it-py", "3")
    assert one.sha256 == ("a" * 64, "b" * 64, "c" * 64)
    assert pip.pins == {"markdown-it-py==3\n"}


def test_a_package_without_a_digest_is_refused(pip: Pip) -> None:
    pip.first = [entry("a", "1", None)]
    with pytest.raises(InfraError, match="pip names no SHA-256 of a 1"):
        wheels.choose(nowhere)


@pytest.mark.parametrize(
    ("locked", "said"),
    [
        ({"QEMU": "10.0.2", "libvirt": "11.3.0"}, ""),
        (
            {"QEMU": "9.2.0", "libvirt": "11.3.0"},
            "not the tools that lab.lock was made on: QEMU 10.0.2 (locked: 9.2.0)",
        ),
        ({"other": "1"}, ""),
        ({}, ""),
    ],
)
def test_other_tools_than_the_locks_are_said(
    monkeypatch: pytest.MonkeyPatch, locked: dict[str, str], said: str
) -> None:
    here = {"QEMU": "10.0.2", "libvirt": "11.3.0"}
    monkeypatch.setattr(tool_versions, "versions", lambda: here)
    assert tool_versions.other_than_locked(Lock(tools=locked)) == said
    assert tool_versions.other_than_locked(None) == ""


def test_versions_are_read_from_what_tools_say(monkeypatch: pytest.MonkeyPatch) -> None:
    def output(command: list[str], **_: object) -> str:
        if command[0] == "virsh":
            raise InfraError("it broke")
        return "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\n"

    monkeypatch.setattr(tool_versions, "output", output)
    assert tool_versions.versions() == {"QEMU": "10.0.2"}
