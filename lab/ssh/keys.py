# SPDX-License-Identifier: Apache-2.0
"""Keys that live as long as a run: one pair opens its hosts, another is what they are known by."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from lab.errors import InfraError


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An Ed25519 key in OpenSSH's own forms; the private half never shows in a repr."""

    private_pem: str = field(repr=False)
    public_line: str


def new_key(comment: str = "caretaker-lab") -> KeyPair:
    """Make a key pair.

    Args:
        comment: The comment of the public line.

    Returns:
        `private_pem` for a file of mode 0600, and `public_line`, which is no secret.
    """
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    line = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return KeyPair(private_pem=pem.decode(), public_line=f"{line.decode()} {comment}")


def public_blob(public_line: str) -> bytes:
    """Return the bytes that a public line stands for, as they travel in the SSH protocol.

    Args:
        public_line: `<type> <base64> [comment]`.

    Returns:
        The decoded base64.

    Raises:
        InfraError: The line has another form.

    Source: RFC 4253, section 6.6.
    """
    match public_line.split():
        case [_, encoded, *_]:
            try:
                return base64.b64decode(encoded, validate=True)
            except binascii.Error as e:
                raise InfraError(f"not a public key in OpenSSH's form: '{public_line}'") from e
        case _:
            raise InfraError(f"not a public key in OpenSSH's form: '{public_line}'")


def fingerprint(blob: bytes) -> str:
    """Return a public key's fingerprint, as `ssh-keygen -l` prints it.

    Args:
        blob: The key, as `public_blob` returns it.

    Returns:
        "SHA256:" and base64 without padding.
    """
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode()
    return f"SHA256:{digest.rstrip('=')}"
