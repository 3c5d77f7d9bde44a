# SPDX-License-Identifier: Apache-2.0
"""`labvmm orphan-status`: a guest's owner and its vCPUs; or what this kernel can."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

from ..devices import journal as journals
from ..kvm import async_run as kvm_async
from ..kvm import common as kvm
from ..kvm.async_run import State
from ..machine import control


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--keeper", type=Path, metavar="SOCKET", help="without it, say what this kernel offers"
    )


def main(chosen: argparse.Namespace) -> Mapping[str, object]:
    """Ask KVM through the keeper's descriptors; disturbs neither guest nor owner."""
    if chosen.keeper is None:
        device = kvm.open_device()
        offered = [policy.name.lower() for policy in kvm_async.policies(device)]
        os.close(device)
        return {"can": bool(offered), "policies": offered}
    _, fds = control.ask(chosen.keeper, "fetch")
    names = sorted((n for n in fds if n.startswith("vcpu")), key=lambda name: int(name[4:]))
    ownership = kvm_async.ownership(fds["vm"])
    journal = journals.read(fds["state"], len(names))
    vcpus = [{"index": n, **_state(fds[name])} for n, name in enumerate(names)]
    for vcpu, served in zip(vcpus, journal.served, strict=True):
        vcpu["served"] = served
    return {
        "owner": ownership.owner.name,
        "policy": ownership.policy.name.lower(),
        "generation": ownership.generation,
        "vcpus": vcpus,
        "console_at": journal.console_at,
    }


def _state(vcpu: int) -> dict[str, object]:
    state = kvm_async.state_of(vcpu)
    return {
        "state": State(state.state).name,
        "exit": kvm.exit_name(state.exit_reason),
        "error": state.error,
        "pc": f"{state.pc:#x}" if state.pc else None,
        "exit_seq": state.exit_seq,
    }
