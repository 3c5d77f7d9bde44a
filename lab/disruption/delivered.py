# SPDX-License-Identifier: Apache-2.0
"""What a disruption returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lab.guest.guest import RunningGuest
from lab.observe.identity import Witness


@dataclass(frozen=True, slots=True)
class Delivered:
    """What came of a deed.

    Attributes:
        witness: Whether it happened, and when.
        guest: The guest as it runs now, under whichever VMM.
        facts: What else was seen, by name; for the record.
    """

    witness: Witness
    guest: RunningGuest
    facts: Mapping[str, str | int | float] = field(default_factory=dict)
