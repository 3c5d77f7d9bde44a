# SPDX-License-Identifier: Apache-2.0
"""The seed of an L1, which makes it one run's own: a small archive behind the shared initramfs."""

from __future__ import annotations

from collections.abc import Mapping

from lab.build import cpio
from lab.errors import InfraError

NEEDED = frozenset({"ssh_host_ed25519_key", "authorized_keys", "hostname", "nonce", "run-id"})


def make(files: Mapping[str, tuple[bytes, int]]) -> bytes:
    """Return a newc archive of `files` beneath /seed/.

    Args:
        files: Content and mode, by name.

    Returns:
        The archive, uncompressed.

    Raises:
        InfraError: A file is missing that the L1's init needs.
    """
    missing = sorted(NEEDED - files.keys())
    if missing:
        raise InfraError(f"the seed of an L1 lacks {', '.join(missing)}")
    return cpio.archive(
        {f"seed/{name}": cpio.File(content, mode) for name, (content, mode) in files.items()}
    )
