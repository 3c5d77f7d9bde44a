# SPDX-License-Identifier: Apache-2.0
"""What L0 itself saw of the CPUs that run an orphan, and by which method."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Method(StrEnum):
    """How L0 looked, the strongest first."""

    SVM_STATE = "svm-state"  # QEMU's own state of each CPU, and the nested tables it is on
    NONE = "none"  # L0 has no view of it: only the guest's beats speak for it


@dataclass(frozen=True, slots=True)
class Proof:
    """What was seen, by which method, and whether it is as it has to be.

    Attributes:
        method: How L0 looked.
        seen: What it saw; with `Method.NONE`, why it could not look. Never empty.
        right: Whether that is as it has to be; None if and only if L0 could not look.

    Raises:
        ValueError: It says nothing, or claims more than its method can.
    """

    method: Method
    seen: str
    right: bool | None

    def __post_init__(self) -> None:
        if not self.seen or (self.right is None) is not (self.method is Method.NONE):
            raise ValueError(f"no proof by method {self.method.value!r}: {self.seen!r}")

    @property
    def fault(self) -> str:
        """What is not as it has to be; "" if all is, or L0 could not look."""
        return self.seen if self.right is False else ""


def unseen(why: str) -> Proof:
    """Return the proof that proves nothing.

    Args:
        why: Why L0 cannot look.

    Returns:
        A proof of `Method.NONE`.
    """
    return Proof(Method.NONE, why, None)
