# SPDX-License-Identifier: Apache-2.0
"""Confidential guests: what domain capabilities say, in each way that they have said it."""

from __future__ import annotations

import pytest

from lab.virt.confidential import launch_security_in

_CAPABILITIES = "<domainCapabilities><features>{}</features></domainCapabilities>"


@pytest.mark.parametrize(
    ("element", "kinds"),
    [
        pytest.param("", set(), id="an-old-libvirt-says-nothing"),
        pytest.param("<launchSecurity supported='no'/>", set(), id="no"),
        pytest.param(
            "<launchSecurity supported='yes'><enum name='sectype'>"
            "<value>sev</value><value>sev-snp</value></enum></launchSecurity>",
            {"sev", "sev-snp"},
            id="snp",
        ),
        pytest.param(
            "<launchSecurity supported='yes'><enum name='sectype'><value>s390-pv</value></enum>"
            "</launchSecurity>",
            {"s390-pv"},
            id="another-machine",
        ),
        pytest.param("<launchSecurity supported='yes'/>", {"any"}, id="which-is-not-said"),
    ],
)
def test_reads_what_a_machine_can_launch(element: str, kinds: set[str]) -> None:
    assert launch_security_in(_CAPABILITIES.format(element)) == kinds
