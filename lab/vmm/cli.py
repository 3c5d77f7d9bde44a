# SPDX-License-Identifier: Apache-2.0
"""labvmm's command line: each command prints JSON, and fails with a line on stderr and status 1."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Mapping, Sequence

from .errors import VmmError

PROGRAM = "labvmm"
# Each command is a module with `arguments(parser)` and `main(chosen)`. Only the one
# that was asked for is imported: under TCG all of them would take a second.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "run": ("commands.run", "run a guest until it resets itself or is told to quit"),
    "keep": ("commands.keep", "keep an orphanable guest's descriptors while no VMM does"),
    "adopt": ("commands.adopt", "take over a guest whose VMM is gone or released it"),
    "cycle": ("fault.cycle", "adopt a guest and be killed, again and again"),
    "pretend": ("fault.pretend", "be an adopter or a keeper that does not do what it says"),
    "hostile": ("fault.hostile", "do to an orphan what other processes may try"),
    "orphan-status": ("commands.orphan_status", "show a guest's owner and what its vCPUs do"),
    "ctl": ("commands.ctl", "send one verb to a running labvmm"),
    "check": ("commands.check", "prove that /dev/kvm runs a guest"),
    "locate": ("commands.locate", "find where in this machine's memory a guest's pages are"),
    "digest": ("commands.digest", "hash a paused guest's RAM"),
    "luo": ("commands.luo", "preserve a guest's RAM over a kexec by /dev/liveupdate"),
    "luo-vcpu": ("commands.luo_vcpu", "preserve a running guest, vCPUs too, as the RFC has it"),
    "resident": ("commands.resident", "make a guest resident with the caretaker, over a kexec"),
    "probe-read": (
        "commands.probe_read",
        "try to read a guest's pages, in all ways that a host has",
    ),
    "foreign": ("fault.foreign", "try a guest's descriptors from another process"),
    "vcpu-stop": ("fault.vcpu_stop", "stop a whole VMM for a known time"),
    "segv": ("fault.segv", "make a VMM die of SIGSEGV"),
    "oom": ("fault.oom", "make the OOM killer kill a VMM"),
}


def say(answer: Mapping[str, object]) -> None:
    """Print one JSON line and flush it.

    Args:
        answer: The object to print; all of it must be JSON.
    """
    print(json.dumps(answer), flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and print its answer.

    Args:
        arguments: The command and its arguments, without the program's name; `sys.argv` if None.

    Returns:
        The exit status: 0, or 1 if the command failed or its answer has a false `ok`.
    """
    argv = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="A small KVM VMM for Caretaker Lab.",
        epilog="\n".join(f"{name:10} {text}" for name, (_, text) in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    name = parser.parse_args(argv[:1]).command
    module_name, text = COMMANDS[name]
    module = importlib.import_module(f".{module_name}", __package__)
    own = argparse.ArgumentParser(prog=f"{PROGRAM} {name}", description=text)
    module.arguments(own)
    try:
        answer: Mapping[str, object] = module.main(own.parse_args(argv[1:]))
    except (VmmError, OSError) as e:
        print(f"{PROGRAM} {name}: {e}", file=sys.stderr)
        return 1
    say(answer)
    return 0 if answer.get("ok", True) else 1
