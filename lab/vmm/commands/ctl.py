# SPDX-License-Identifier: Apache-2.0
"""`labvmm ctl`: one question to a running labvmm, or to a keeper."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

from ..machine import control

VERBS = (
    "status",
    "pause",
    "resume",
    "quit",
    "release",
    "regs",
    "fds",
    "memslot",
    "drop",
    "stop",
    "cancel",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("verb", choices=VERBS)


def main(chosen: argparse.Namespace) -> Mapping[str, object]:
    """Ask, and close the descriptors that came: this process cannot keep them."""
    answer, fds = control.ask(chosen.socket, chosen.verb)
    for fd in fds.values():
        os.close(fd)
    return answer
