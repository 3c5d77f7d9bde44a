# SPDX-License-Identifier: Apache-2.0
"""A stand-in for a kernel with an orphaning ABI of its own, and for its userspace: real processes.

The guest is a process of its own that counts, so that the VMM can be killed under it. What the
kernel would know is a file beside this program.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
COUNT = """
import os, sys, time
count, new = 0, sys.argv[1] + ".new"
while True:
    count += 1
    with open(new, "w") as file:
        file.write(str(count))
    os.replace(new, sys.argv[1])
    time.sleep(.01)
"""


def lives(pid: int) -> bool:
    """Return whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").split()[2] != "Z"
    except FileNotFoundError:
        return False


def status(known: dict[str, Any]) -> dict[str, object]:
    """Return what the kernel would say."""
    owner = "PRESENT" if lives(int(known["owner"])) else "GONE"
    state = "RUNNING" if lives(int(known["guest"])) else "FAILED"
    vcpu = {"index": 0, "state": state, "exit": "INTR", "pc": None, "exit_seq": 0, "served": 0}
    policy, generation = known["policy"], known["generation"]
    seen = "RELEASED" if owner == "GONE" and known["released"] else owner
    return {"owner": seen, "policy": policy, "generation": generation, "vcpus": [vcpu]}


def main(verb: str, name: str = "", *_: str) -> int:
    """Do what orphanctl does."""
    file = HERE / f"{name}.json"
    if verb == "probe":
        return 0
    if verb == "run":
        argv = [sys.executable, "-c", COUNT, str(HERE / f"{name}.count")]
        guest = subprocess.Popen(argv, start_new_session=True)
        known: dict[str, Any] = {
            "guest": guest.pid,
            "owner": os.getpid(),
            "generation": 0,
            "policy": "run",
        }
        file.write_text(json.dumps({**known, "released": False}), encoding="utf-8")
    else:
        known = json.loads(file.read_text(encoding="utf-8"))
    if verb == "status":
        print(json.dumps(status(known)))
        return 0
    if verb == "release":
        file.write_text(json.dumps({**known, "released": True}), encoding="utf-8")
        os.kill(known["owner"], signal.SIGTERM)
        return 0
    if verb == "adopt":
        if lives(known["owner"]):
            print("the guest has an owner", flush=True)
            return 1
        more = {"owner": os.getpid(), "generation": known["generation"] + 1, "released": False}
        file.write_text(json.dumps({**known, **more}), encoding="utf-8")
        print(json.dumps({"pid": os.getpid()}), flush=True)
    while True:  # it is the VMM
        signal.pause()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
