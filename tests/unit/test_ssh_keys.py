# SPDX-License-Identifier: Apache-2.0
"""Keys in OpenSSH's forms, judged by OpenSSH itself where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from lab.errors import InfraError
from lab.ssh.keys import fingerprint, new_key, public_blob

needs_openssh = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="no ssh-keygen: apt-get install openssh-client"
)


@needs_openssh
def test_openssh_reads_our_private_key_and_agrees_on_the_public(tmp_path: Path) -> None:
    pair = new_key("l1-a")
    file = tmp_path / "key"
    file.touch(mode=0o600)
    file.write_text(pair.private_pem)

    found = subprocess.run(
        ["ssh-keygen", "-y", "-f", str(file)], check=True, capture_output=True, text=True
    )

    assert found.stdout.split()[:2] == pair.public_line.split()[:2]


@needs_openssh
def test_a_fingerprint_is_written_as_openssh_writes_it(tmp_path: Path) -> None:
    pair = new_key()
    file = tmp_path / "key.pub"
    file.write_text(pair.public_line)

    listed = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(file)], check=True, capture_output=True, text=True
    )

    assert fingerprint(public_blob(pair.public_line)) == listed.stdout.split()[1]


def test_no_two_keys_are_alike() -> None:
    assert new_key().public_line != new_key().public_line


def test_the_comment_ends_the_public_line() -> None:
    assert new_key("run-7f3a").public_line.split()[2] == "run-7f3a"


def test_a_private_key_does_not_show_in_a_repr() -> None:
    assert "PRIVATE" not in repr(new_key())


@pytest.mark.parametrize("line", ["", "ssh-ed25519", "ssh-ed25519 not*base64"])
def test_what_is_not_a_public_line_is_named(line: str) -> None:
    with pytest.raises(InfraError, match="not a public key in OpenSSH's form"):
        public_blob(line)
