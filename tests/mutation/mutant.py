# SPDX-License-Identifier: Apache-2.0
"""A mutant as a value: it needs no mutation tool to be put in place and tried."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one file.

    Attributes:
        id: What it is listed by: a hash of file, function, operator and change, not of the line.
        file: Relative to the checkout.
        line: Where the change is, from 1.
        within: The function or class that it is in; "" for the module itself.
        kind: What kind of change it is.
        was: The changed lines as they are.
        now: As they are in the mutant.
        original: The whole file as it is.
        source: The whole file with the change.
    """

    id: str
    file: str
    line: int
    within: str
    kind: str
    was: str
    now: str
    original: str
    source: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.id} ({self.kind}): `{self.was}` -> `{self.now}`"
