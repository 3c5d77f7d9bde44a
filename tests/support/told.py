# SPDX-License-Identifier: Apache-2.0
"""What a verdict says beside its words, which may change: kind, check, scope, numbers."""

from __future__ import annotations

import re

from lab.verdict.verdict import Check, Lost, Scope, Unproven

_NUMBER = re.compile(r"0x[0-9a-f]+|[-+]?\d+(?:\.\d+)?")


def numbers(reason: str) -> list[str]:
    """Return the numbers of a sentence, in order."""
    return _NUMBER.findall(reason)


def _told(reason: str) -> list[str]:
    """Return by what a sentence is known: its numbers, or itself if it has none."""
    return numbers(reason) or [str(reason)]


class Said(str):
    """A sentence that equals each with the same numbers; without any, itself only."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and _told(self) == _told(other)

    __hash__ = None  # type: ignore[assignment]


class Told:
    """Equals the verdicts of one kind, check and scope whose reasons have the same numbers."""

    def __init__(self, kind: type, reason: str, check: Check, scope: Scope) -> None:
        self._kind, self._told = kind, (check, scope, _told(reason))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, self._kind):
            return False
        told = (other.check, other.scope, _told(other.reason))  # type: ignore[attr-defined]
        return told == self._told

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{self._kind.__name__}{self._told}"


def a_loss(reason: str, check: Check, scope: Scope = Scope.RUNNING) -> Told:
    """Return what equals a `Lost`."""
    return Told(Lost, reason, check, scope)


def no_proof(reason: str, check: Check, scope: Scope = Scope.RUNNING) -> Told:
    """Return what equals an `Unproven`."""
    return Told(Unproven, reason, check, scope)
