# SPDX-License-Identifier: Apache-2.0
"""What labvmm says to its user; it cannot use the lab's own errors, because it travels alone."""

from __future__ import annotations


class VmmError(Exception):
    """One sentence, and a hint of what to type instead.

    Args:
        message: What happened, and to what.
        hint: What to type or to change; a line of its own.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}\nhint: {self.hint}" if self.hint else message
