# SPDX-License-Identifier: Apache-2.0
"""What is wrong beside the verdict, and with what."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ProblemKind(StrEnum):
    """Whom a problem is blamed on, and so what is done about it."""

    PRODUCT = "product"  # the kernel, VMM or guest under test; its cell has failed
    FIGURES = "figures"  # what the lab measured; its cell is an error of the lab
    VOID = "void"  # the experiment, by L0's fault: it says nothing, and is done again
    HOST = "host"  # the host: it is tainted, and no other cell may use it


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, of which the verdict says nothing.

    Attributes:
        kind: Whom it is blamed on.
        reason: What is wrong, for people.
    """

    kind: ProblemKind
    reason: str

    def __str__(self) -> str:
        return self.reason
