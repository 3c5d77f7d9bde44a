# SPDX-License-Identifier: Apache-2.0
"""What a disruption gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lab.guest.guest import RunningGuest
from lab.observe.identity import Witness


@dataclass(frozen=True, slots=True)
class Delivered:
    """The witness of the deed, the guest as it is to be watched now, and what else was seen."""

    witness: Witness
    guest: RunningGuest
    facts: Mapping[str, str | int | float] = field(default_factory=dict)
