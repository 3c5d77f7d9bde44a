# SPDX-License-Identifier: Apache-2.0
"""A run's hash tree signed by an SSH key of the user's, and the signature checked.

`ssh-keygen -Y` does both. No passphrase is asked for: a key that has one is used by the agent.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab.child_env import child_env
from lab.errors import ConfigError, InfraError
from lab.record.files import write_text
from lab.verify.plain_files import read_regular

NAMESPACE = "caretaker-lab"
_LIMIT_S = 30.0
_GOOD = re.compile(r'Good "[^"]*" signature with \S+ key (SHA256:\S+)')
_PRINT = re.compile(r"SHA256:\S+")


def signature_of(path: Path) -> Path:
    """Return where the signature of a file is.

    Args:
        path: The file.
    """
    return path.with_name(f"{path.name}.sig")


def sign(path: Path, key: Path) -> str:
    """Sign a file; an older signature is replaced.

    Args:
        path: The file.
        key: The private key, or the public one of a key that the agent has.

    Returns:
        The key's fingerprint.

    Raises:
        InfraError: ssh-keygen is missing, or did not sign.
    """
    signature = signature_of(path)
    signature.unlink(missing_ok=True)
    said = _keygen(["-Y", "sign", "-n", NAMESPACE, "-f", str(key)], path.read_bytes())
    if said.returncode:
        raise InfraError(
            f"{path} is not signed: {_last(said)}",
            hint="[report] sign_with of lab.toml names the key; one with a passphrase needs an "
            "agent: ssh-add",
        )
    write_text(signature, said.stdout.decode())
    return signer(path)


def signer(path: Path) -> str:
    """Check the signature of a file.

    Args:
        path: The file.

    Returns:
        The fingerprint of the key that signed it; "" if nobody did.

    Raises:
        ConfigError: The signature is not one of this file.
        InfraError: ssh-keygen is missing.
    """
    signature = signature_of(path)
    if not os.path.lexists(signature):
        return ""
    read_regular(signature)
    command = ["-Y", "check-novalidate", "-n", NAMESPACE, "-s", str(signature)]
    said = _keygen(command, read_regular(path))
    found = _GOOD.search(said.stdout.decode(errors="replace"))
    if said.returncode or found is None:
        raise ConfigError(f"{signature}: is no signature of {path.name}: {_last(said)}")
    return found[1]


def fingerprint(key: Path) -> str:
    """Return the fingerprint of a key.

    Args:
        key: Its public half, or a private key whose public half is beside it.

    Returns:
        As `ssh-keygen -l` prints it: "SHA256:...".

    Raises:
        ConfigError: There is no such key.
        InfraError: ssh-keygen is missing.
    """
    public = key.with_name(f"{key.name}.pub")
    there = public if public.is_file() and key.suffix != ".pub" else key
    said = _keygen(["-l", "-f", str(there)], b"")
    found = _PRINT.search(said.stdout.decode(errors="replace"))
    if said.returncode or found is None:
        raise ConfigError(f"{there}: is no key of SSH's: {_last(said)}")
    return found[0]


def _keygen(words: Sequence[str], data: bytes) -> subprocess.CompletedProcess[bytes]:
    agent = {n: os.environ[n] for n in ("SSH_AUTH_SOCK",) if n in os.environ}
    try:
        return subprocess.run(
            ["ssh-keygen", *words],
            input=data,
            capture_output=True,
            check=False,
            timeout=_LIMIT_S,
            env=child_env({**agent, "SSH_ASKPASS_REQUIRE": "never"}),
            start_new_session=True,  # without a terminal, on which it would ask
        )
    except FileNotFoundError as e:
        raise InfraError("ssh-keygen is missing", hint="try: apt-get install openssh-client") from e
    except subprocess.TimeoutExpired as e:
        raise InfraError(f"ssh-keygen did not end within {_LIMIT_S:.0f} s") from e


def _last(said: subprocess.CompletedProcess[bytes]) -> str:
    told = (said.stderr or said.stdout).decode(errors="replace").strip().splitlines()
    return told[-1] if told else f"ssh-keygen ended with {said.returncode}"
