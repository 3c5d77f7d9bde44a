# SPDX-License-Identifier: Apache-2.0
"""Why a cell cannot be run here: what its topology says, and what was seen that confirms it."""

from __future__ import annotations

from lab.config.model import Cell, Confidential, Unavailable
from lab.errors import InfraError
from lab.runner.lab_session import LabSession


def why_not(lab_session: LabSession, cell: Cell, expectation: Unavailable) -> str:
    """Return why a cell is unavailable, with the evidence of this machine.

    Args:
        lab_session: The run.
        cell: The cell.
        expectation: What its topology says.

    Returns:
        The topology's reason, for SEV-SNP with what libvirt offers.

    Raises:
        InfraError: This machine offers it after all: the ladder is out of date.
    """
    if cell.options.confidential is not Confidential.SEV_SNP:
        return expectation.reason
    connection = lab_session.connection
    offered = connection.launch_security(cell.arch)
    if Confidential.SEV_SNP.value in offered:
        raise InfraError(
            f"{cell.id}: {connection.uri} offers sev-snp, and the topology says 'unavailable'",
            hint="the lab cannot start such a guest yet: see lab/runner/guest_plan.py",
        )
    seen = ", ".join(sorted(offered)) or "none"
    return (
        f"{expectation.reason}; domcapabilities of {connection.uri} offer launchSecurity: {seen}. "
        "SEV-SNP cannot be nested, so its L1 would have to be metal"
    )
