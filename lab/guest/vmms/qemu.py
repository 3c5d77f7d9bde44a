# SPDX-License-Identifier: Apache-2.0
"""QEMU as a VMM in L1: stock, driven over QMP."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from lab.config.model import VmmKind
from lab.deadline import Deadline, until
from lab.errors import InfraError, UnavailableError
from lab.guest.guest import GuestPlan, RunningGuest
from lab.guest.handover.none import NoOrphaning
from lab.guest.handover.protocol import Orphaning
from lab.guest.payload import payload_for
from lab.guest.start import started
from lab.host.host import RunningHost

# Talks QMP: one JSON command after another from argv, the last answer on stdout.
_QMP = """
import json, socket, sys
s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect(sys.argv[1])
f = s.makefile("rw"); f.readline()
for command in ['{"execute": "qmp_capabilities"}', *sys.argv[2:]]:
    f.write(command + chr(10)); f.flush()
    while True:
        line = f.readline()
        if not line: sys.exit(0)
        answer = json.loads(line)
        if "event" not in answer: break
print(json.dumps(answer))
"""


class Qemu:
    """QEMU from the L1's distribution, with `-accel kvm` and memory in a memfd."""

    kind = VmmKind.QEMU
    handover: Orphaning = NoOrphaning()

    def start(self, host: RunningHost, plan: GuestPlan, by: Deadline) -> RunningGuest:
        """Start the guest, and return as soon as its VMM process exists.

        Raises:
            UnavailableError: The guest is protected, and QEMU 10 has no option for that.
        """
        if plan.protected:
            raise UnavailableError("QEMU 10 cannot make a protected VM of pKVM's")
        return started(host, plan, _argv(host, plan), by)

    def quit(self, guest: RunningGuest, by: Deadline) -> None:
        """Have it end by itself, as its user's `quit` would."""
        qmp(guest, {"execute": "quit"}, by=by)

    def pause(self, guest: RunningGuest, by: Deadline) -> None:
        """Stop the guest's vCPUs."""
        qmp(guest, {"execute": "stop"}, by=by)

    def registers(self, guest: RunningGuest, by: Deadline) -> str:
        """Stop the guest's vCPUs and read their registers."""
        self.pause(guest, by)
        ask = {"command-line": "info registers -a"}
        answer = qmp(guest, {"execute": "human-monitor-command", "arguments": ask}, by=by)
        return str(answer.get("return", answer))

    def replace(self, guest: RunningGuest, by: Deadline) -> RunningGuest:
        """Hand the guest to a new QEMU by cpr-transfer: memory stays, descriptors move.

        Raises:
            InfraError: The transfer failed; the message has QEMU's reason.

        Source: QEMU, docs/devel/migration/CPR.rst, "cpr-transfer mode".
        """
        old, new = guest.plan, dataclasses.replace(guest.plan, name=f"{guest.plan.name}-next")
        host = guest.host
        cpr, main = f"{old.folder}/cpr.sock", f"{old.folder}/main.sock"
        channels = [_channel("cpr", cpr), _channel("main", main)]
        incoming = ["-incoming", json.dumps(channels[0]), "-incoming", json.dumps(channels[1])]
        successor = started(host, new, [*_argv(host, new), *incoming], by)
        until(
            "the new QEMU's cpr socket",
            lambda: host.session.run(["test", "-S", cpr]).status == 0 or None,
            by,
        )
        answer = qmp(
            guest,
            {
                "execute": "migrate-set-parameters",
                "arguments": {"mode": "cpr-transfer"},
            },
            {"execute": "migrate", "arguments": {"channels": channels}},
            by=by,
        )
        if "error" in answer:
            raise InfraError(f"QEMU refused cpr-transfer: {answer['error']['desc']}")
        until("the new QEMU to run the guest", lambda: _runs(successor, by), by, every=0.1)
        qmp(guest, {"execute": "quit"}, by=by)
        return successor


def qmp(guest: RunningGuest, *commands: dict[str, Any], by: Deadline) -> Any:
    """Send QMP commands to the guest's QEMU.

    Args:
        guest: The guest.
        commands: One or more, in order; each waits for the answer to the one before.
        by: When to give up.

    Returns:
        QEMU's answer to the last one: {"return": ...} or {"error": ...}; {} if it hung up.

    Raises:
        InfraError: Nothing answers on its socket.
    """
    said = guest.host.session.check(
        ["python3", "-I", "-c", _QMP, guest.plan.socket, *map(json.dumps, commands)], by=by
    )
    return json.loads(said) if said.strip() else {}


def _runs(guest: RunningGuest, by: Deadline) -> bool | None:
    if not guest.vmm_lives:
        raise InfraError(f"the new QEMU ended:\n{guest.last_words()}")
    answer = qmp(guest, {"execute": "query-status"}, by=by)
    return True if answer.get("return", {}).get("status") == "running" else None


def _channel(kind: str, path: str) -> dict[str, Any]:
    return {
        "channel-type": kind,
        "addr": {"transport": "socket", "type": "unix", "path": path},
    }


def _argv(host: RunningHost, plan: GuestPlan) -> list[str]:
    arch = host.blueprint.request.arch
    payload = payload_for(arch, plan)
    initrd = ["-initrd", payload.initrd] if payload.initrd else []
    return [
        arch.traits.emulator, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-accel", "kvm",
        "-machine", f"{arch.traits.guest_machine},memory-backend=ram,aux-ram-share=on",
        "-cpu", "host",
        "-smp", str(plan.vcpus),
        "-m", str(plan.memory_mib),
        "-object", f"memory-backend-memfd,id=ram,size={plan.memory_mib}M,share=on",
        "-kernel", payload.kernel, *initrd,
        "-append", payload.cmdline,
        "-serial", f"file:{plan.console}",
        "-qmp", f"unix:{plan.socket},server=on,wait=off",
    ]  # fmt: skip
