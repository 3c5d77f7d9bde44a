# SPDX-License-Identifier: Apache-2.0
"""The table of orphaning ABIs, by the word that a plan has for each."""

from __future__ import annotations

from collections.abc import Mapping

from lab.errors import ConfigError
from lab.guest.handover.combined import LastingOrphaning
from lab.guest.handover.kvm_async import AsyncOrphaning
from lab.guest.handover.luo_vcpu import LuoVcpuOrphaning
from lab.guest.handover.none import NoOrphaning
from lab.guest.handover.protocol import Orphaning
from lab.guest.handover.resident import ResidentOrphaning

_ADAPTERS: Mapping[str, Orphaning] = {
    a.name: a
    for a in (
        NoOrphaning(),
        AsyncOrphaning(),
        ResidentOrphaning("resident", preserve=True),
        ResidentOrphaning("resident-unpreserved", preserve=False),
        LuoVcpuOrphaning(),
        LastingOrphaning(),
    )
}


def orphaning_for(name: str) -> Orphaning:
    """Return the strategy of one ABI.

    Args:
        name: The word of a cell's `orphaning` option, or "none" for the control.

    Returns:
        The strategy; one object for all guests.

    Raises:
        ConfigError: No ABI has this name; the hint lists those there are.
    """
    if name not in _ADAPTERS:
        raise ConfigError(
            f"no orphaning ABI {name!r} is known", hint=f"there are: {', '.join(_ADAPTERS)}"
        )
    return _ADAPTERS[name]
