# SPDX-License-Identifier: Apache-2.0
"""What must reach no report, message or log: the secrets of a run, wherever they turn up.

One file is apart: the evidence that a cell is judged by has the key of its beacon, whose guest is
watched no more, since no link could be hashed again without it.
"""

from __future__ import annotations

import re

# A guest's kernel prints its command line, beacon's canary and key included; a console may end in
# the middle of one. A mirror or a repository may be named with its password.
_SECRETS = re.compile(
    r"(?<=beacon=)[0-9a-f]+(?::[0-9a-f]*)?"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)",
    re.DOTALL,
)


def redacted(text: str) -> str:
    """Remove secrets from text.

    Args:
        text: Any text.

    Returns:
        The text, with "[removed]" for each secret.
    """
    return _SECRETS.sub("[removed]", text)


def redacted_bytes(raw: bytes) -> bytes:
    """Remove secrets from bytes; whatever else is in them, text or not, stays as it is.

    Args:
        raw: Any bytes.

    Returns:
        The bytes, with "[removed]" for each secret.
    """
    return redacted(raw.decode("latin-1")).encode("latin-1")
