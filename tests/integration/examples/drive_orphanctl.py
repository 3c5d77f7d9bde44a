# SPDX-License-Identifier: Apache-2.0
"""Drives the adapter that docs/howto/orphaning-abi.md shows, on this machine in place of an L1.

Run by test_examples.py in a checkout that has the adapter; prints one JSON of what was seen.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lab.config.model import Arch, GuestKind, VmmKind
from lab.deadline import Deadline, until
from lab.errors import InfraError
from lab.guest.guest import GuestPlan
from lab.guest.handover.table import orphaning_for
from lab.guest.vmms.labvmm import LabVmm
from lab.host.commands import process
from lab.ssh.session import Result


class Here:
    """A session with this machine: what is run is real, in a folder of the test's.

    A program is in no cgroup: there may be none, and where there are, they are not the test's.
    """

    peer = "here"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def run(self, argv: list[str], **_: object) -> Result:
        """Run a program; /run/lab of an L1 is a folder here."""
        mine = [word.replace("/run/lab", str(self._folder)) for word in argv]
        done = subprocess.run(mine, capture_output=True, text=True, check=False)
        return Result(" ".join(mine), done.returncode, done.stdout, done.stderr)

    def check(self, argv: list[str], **_: object) -> str:
        """Run a program that must succeed."""
        done = self.run(argv)
        if done.status:
            raise InfraError(f"{done.command}: {done.stderr}")
        return done.stdout

    def spawn(self, argv: list[str], log: str, **_: object) -> int:
        """Start a program that stays."""
        argv = [word.replace("/sys/fs/cgroup", str(self._folder)) for word in argv]
        with Path(log.replace("/run/lab", str(self._folder))).open("a", encoding="utf-8") as out:
            return subprocess.Popen(argv, stdout=out, stderr=out, start_new_session=True).pid

    def get(self, path: str) -> bytes:
        """Read a file."""
        try:
            return Path(path.replace("/run/lab", str(self._folder))).read_bytes()
        except OSError as e:
            raise InfraError(str(e)) from e


def main(folder: Path) -> None:
    """Start, kill the VMM, adopt, replace as planned; the guest must count on all the while."""
    by = Deadline.after(60)
    request = SimpleNamespace(arch=Arch.X86_64)
    host: Any = SimpleNamespace(
        session=Here(folder), role="a", blueprint=SimpleNamespace(request=request), patience=None
    )
    abi = orphaning_for("orphanctl")
    driver = LabVmm(abi)
    plan = GuestPlan(name="guest-1", kind=GuestKind.SPINNER, vmm=VmmKind.LABVMM)
    counted = folder / "guest-1.count"

    def count() -> int:
        return int(counted.read_text(encoding="utf-8")) if counted.exists() else 0

    def goes_on() -> bool:
        before = count()
        return until("the guest to count on", lambda: count() > before or None, by)

    seen: dict[str, object] = {"unsupported": abi.unsupported_reason(host, by)}
    guest = driver.start(host, plan, by)
    until("the guest to count", lambda: count() or None, by)
    seen["at first"] = abi.status(guest, by).owner
    os.kill(guest.vmm.pid, signal.SIGKILL)
    os.waitpid(guest.vmm.pid, 0)
    orphan = abi.status(guest, by)
    seen |= {"killed": orphan.owner, "without a VMM": goes_on()}
    seen["proof"] = abi.verify_from_l0(guest, {}, by).method
    guest = abi.adopt(guest, by)
    seen["not adopted"] = abi.status(guest, by).not_adopted_since(orphan)
    old = guest.vmm
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody else waits for the old VMM here
    guest = driver.replace(guest, by)
    seen |= {"replaced": guest.vmm != old, "adopted": abi.status(guest, by).generation}
    seen["at last"] = goes_on()
    seen["old VMM"] = process(host.session, old.pid) is None
    for pid in (guest.vmm.pid, json.loads((folder / "guest-1.json").read_bytes())["guest"]):
        os.kill(pid, signal.SIGKILL)
    print(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
