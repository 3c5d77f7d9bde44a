# SPDX-License-Identifier: Apache-2.0
"""What a talking guest's console says of its VMMs: no line of its running count lost or repeated.

A guest with `beacon.chat_ms=` on its command line prints "CHAT 0", "CHAT 1" and so on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE = re.compile(r"CHAT (\d+)\r?")
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Heard:
    """How many lines came, and what is wrong with them; the last one may still be coming."""

    lines: int
    wrong: tuple[str, ...]

    @property
    def reason(self) -> str:
        """What is wrong; "" if nothing is."""
        more = len(self.wrong) - _SHOWN
        return "; ".join(self.wrong[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def heard(console: str) -> Heard:
    """Judge a console: a gap is lost output, a number again is repeated, a bad line is torn."""
    whole, _, _ = console.rpartition("\n")
    begins = whole.find("CHA")
    lines = whole[begins:].split("\n") if begins >= 0 else []
    mine = [line for line in lines if "CHA" in line or not line.strip("\r")]
    wrong: list[str] = []
    due = 0
    for line in mine:
        match = _LINE.fullmatch(line)
        if match is None:
            wrong.append(f"{line!r} where 'CHAT {due}' was due")
        elif int(match[1]) != due:
            wrong.append(f"'CHAT {match[1]}' where 'CHAT {due}' was due")
        due = int(match[1]) + 1 if match else due + bool(line.strip("\r"))
    return Heard(len(mine), tuple(wrong))
