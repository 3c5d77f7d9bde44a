# SPDX-License-Identifier: Apache-2.0
"""`labvmm run`: a guest, its control socket, and the two JSON lines at its beginning and end."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from ..errors import VmmError
from ..kvm.async_run import Policy
from ..machine import control
from ..machine.create import GuestOptions, create
from ..machine.driver import Boot
from ..machine.memory import RamKind
from ..state import handover
from . import verbs

POLICIES = [policy.name.lower() for policy in Policy]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--kernel", type=Path, required=True, help="what to boot")
    parser.add_argument("--initrd", type=Path)
    parser.add_argument("--cmdline", default="")
    parser.add_argument("--memory", type=int, default=128, metavar="MIB")
    parser.add_argument("--vcpus", type=int, default=1)
    parser.add_argument("--console", type=Path, required=True, help="file for console output")
    parser.add_argument("--socket", type=Path, required=True, help="control socket to make")
    parser.add_argument("--protected", action="store_true", help="hide its RAM from this host")
    parser.add_argument("--ram", choices=[k.value for k in RamKind], help="where its RAM lives")
    parser.add_argument("--orphanable", action="store_true", help="let it outlive this process")
    parser.add_argument(
        "--orphan-policy",
        choices=POLICIES,
        default=POLICIES[0],
        help="what it does without an owner",
    )
    parser.add_argument(
        "--plain", action="store_true", help="tell it of nothing that only KVM can do"
    )
    parser.add_argument(
        "--keeper", type=Path, metavar="SOCKET", help="the keeper of its descriptors"
    )


def main(chosen: argparse.Namespace) -> Mapping[str, object]:
    """Run a guest to its end."""
    if chosen.keeper and not chosen.orphanable:
        raise VmmError("--keeper: the guest would die with this process", hint="add --orphanable")
    guest = create(
        GuestOptions(
            Boot(chosen.kernel, chosen.initrd, chosen.cmdline, chosen.vcpus),
            chosen.memory,
            chosen.console,
            RamKind(chosen.ram) if chosen.ram else None,
            protected=chosen.protected,
            orphan=Policy[chosen.orphan_policy.upper()] if chosen.orphanable else None,
            keeper=chosen.keeper,
            plain=chosen.plain,
        )
    )
    if chosen.keeper:
        control.ask(chosen.keeper, "deposit", handover.describe(guest), guest.fds())
    return verbs.live(guest, chosen.socket)
