# SPDX-License-Identifier: Apache-2.0
"""The RAM that a simulated guest fills and verifies, as `guest-images/l2/ram.h` does: a window.

A page is 64 bytes here; it counts as one of 4 KiB.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass, field

_WORDS = 8
_STRIDE, _MASK = 0x9E3779B97F4A7C15, (1 << 64) - 1


@dataclass(slots=True)
class FakeRam:
    """Pages that were filled and not yet verified, the oldest first."""

    window: int = 100
    filled: int = 0
    verified: int = 0
    mismatches: int = 0
    pages: deque[bytearray] = field(default_factory=deque)

    def step(self) -> None:
        """Verify the oldest page; fill one, or two while the window grows."""
        if self.pages:
            right = self.pages.popleft() == _pattern(self.filled - len(self.pages) - 1)
            self.verified += right
            self.mismatches += not right
        for _ in range(2):
            if len(self.pages) < self.window:
                self.pages.append(_pattern(self.filled))
                self.filled += 1

    def flip_a_bit(self) -> None:
        """Change one bit of one page that was filled."""
        self.pages[len(self.pages) // 2][21] ^= 0x10

    def overwrite_a_page(self) -> None:
        """Put something else into one page that was filled."""
        self.pages[len(self.pages) // 2][:] = b"\x5a" * 8 * _WORDS

    def overwrite(self) -> None:
        """Put something else into all of it."""
        for page in self.pages:
            page[:] = b"\x5a" * 8 * _WORDS


def _pattern(number: int) -> bytearray:
    words = ((number * 0xD6E8FEB86659FD93 + i * _STRIDE) & _MASK for i in range(_WORDS))
    return bytearray(struct.pack(f"<{_WORDS}Q", *words))
