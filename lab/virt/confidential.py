# SPDX-License-Identifier: Apache-2.0
"""Which confidential guests a libvirt offers, as its domain capabilities say; pure."""

from __future__ import annotations

import xml.etree.ElementTree as ET  # libvirt's own output, from no other source

_ALL = "any"  # libvirt before 9.7 says that it launches some, and not which


def launch_security_in(capabilities: str) -> frozenset[str]:
    """Read the kinds of launchSecurity out of domain capabilities.

    Args:
        capabilities: The XML of libvirt's domain capabilities.

    Returns:
        Such as "sev" and "sev-snp"; empty if there are none.

    Source: libvirt's formatdomaincaps, "launchSecurity".
    """
    element = ET.fromstring(capabilities).find("./features/launchSecurity")  # noqa: S314 - libvirt's
    if element is None or element.get("supported") != "yes":
        return frozenset()
    values = element.findall("./enum[@name='sectype']/value")
    return frozenset(value.text or "" for value in values) or frozenset({_ALL})
