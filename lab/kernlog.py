# SPDX-License-Identifier: Apache-2.0
"""The kernel's complaints in a console. Pure; tests/golden/console/*.log are its cases."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a kernel complains of."""

    PANIC = "panic"
    TRIPLE_FAULT = "triple-fault"
    OOPS = "oops"
    KASAN = "kasan"
    KCSAN = "kcsan"
    UBSAN = "ubsan"
    LOCKDEP = "lockdep"
    SOFT_LOCKUP = "soft-lockup"
    HARD_LOCKUP = "hard-lockup"
    HUNG_TASK = "hung-task"
    RCU_STALL = "rcu-stall"
    OOM = "oom"
    WARN = "warn"


FATAL = frozenset({Kind.PANIC, Kind.TRIPLE_FAULT})


@dataclass(frozen=True, slots=True)
class Finding:
    """One complaint: its first line, counted from 1, without time stamp."""

    kind: Kind
    line_no: int
    text: str

    @property
    def fatal(self) -> bool:
        """Whether this kernel runs nothing more after it; a plain oops kills one task only."""
        return self.kind in FATAL


# The second line of an oops, after "BUG: ..." or the like; of some it is the first.
_OOPS_BODY = (
    r"Oops: |general protection fault, |Internal error: .*\[#\d+\]"
    r"|[a-z][a-z0-9 ,-]*: [0-9a-f]{4} \[#\d+\]"
)

# What a message starts with; the first that fits decides. Anchored, because the same words occur
# within harmless lines: "Kernel command line: ... panic=-1 oops=panic".
_RULES: tuple[tuple[Kind, str], ...] = (
    (Kind.PANIC, r"Kernel panic - not syncing"),
    (Kind.PANIC, r"(traps: )?PANIC: (early exception|double fault)"),
    (Kind.PANIC, r"kvm \[\d+\]: nVHE hyp (panic|BUG)"),
    (Kind.PANIC, r"-- System halted"),
    (Kind.TRIPLE_FAULT, r"(labvmm: )?(vcpu|CPU) ?\d+: triple fault\b"),
    (Kind.KASAN, r"BUG: K(ASAN|FENCE|MSAN):"),
    (Kind.KCSAN, r"BUG: KCSAN:"),
    (Kind.UBSAN, r"UBSAN: [\w-]+ in "),
    (Kind.SOFT_LOCKUP, r"((NMI )?watchdog: )?BUG: soft lockup - CPU#"),
    (Kind.SOFT_LOCKUP, r"BUG: workqueue lockup - pool"),
    (Kind.HARD_LOCKUP, r"((NMI )?watchdog: )?(CPU\d+: )?Watchdog detected hard LOCKUP"),
    (Kind.LOCKDEP, r"BUG: (sleeping function called from|scheduling while atomic|spinlock )"),
    (Kind.LOCKDEP, r"BUG: (Invalid wait context|MAX_LOCK\w+ too low|held lock freed)"),
    (Kind.LOCKDEP, r"\[ BUG: "),
    (Kind.LOCKDEP, r"WARNING: (possible (circular|recursive|irq lock)|inconsistent lock state)"),
    (
        Kind.LOCKDEP,
        r"WARNING: (suspicious RCU usage|bad unlock balance|lock held when|nested lock)",
    ),
    (Kind.LOCKDEP, r"WARNING: \S+-safe -> \S+-unsafe lock order"),
    (
        Kind.HUNG_TASK,
        r"INFO: task \S.*:\d+( <[^>]*>)? (is )?blocked (for more than|in I/O wait for)",
    ),
    (Kind.RCU_STALL, r"(rcu: )?INFO: rcu\w* (self-)?detected (expedited )?stalls?"),
    (Kind.RCU_STALL, r"(rcu: )?INFO: rcu_tasks\w* detected stalls"),
    (Kind.OOM, r"(Out of memory|Memory cgroup out of memory)( \(\w+\))?: Killed process \d+"),
    (Kind.OOPS, r"BUG: "),
    (Kind.OOPS, r"kernel BUG at "),
    (Kind.OOPS, r"Unable to handle kernel "),
    (Kind.OOPS, r"SError Interrupt on CPU\d+"),
    (Kind.OOPS, r"Bad mode in .* handler detected"),
    (Kind.OOPS, r"Insufficient stack space to handle exception"),
    (Kind.OOPS, _OOPS_BODY),
    (Kind.WARN, r"WARNING: (CPU: \d+ PID: \d+ )?at "),
    (Kind.WARN, r"WARNING: .+ at \S+[:+]\S+"),
    (Kind.WARN, r"WARNING: \S+\.[chS]:\d+ "),
)
_RULE = re.compile("|".join(f"(?P<r{i}>{pattern})" for i, (_, pattern) in enumerate(_RULES)))

# "<4>[   12.345678][  T123] " and what userspace wrote on the line before it.
_STAMP = re.compile(r"\[ *\d+\.\d{6}\](\[ *[TC]\d+\])? ?")
_BODY = re.compile(_OOPS_BODY)
_AFRESH = re.compile(r"---\[ end |Linux version ")


class Recogniser:
    """Takes a console line by line, for a reader that follows it while it is written."""

    def __init__(self) -> None:
        self._line_no = 0
        self._awaits_body = False

    def feed(self, line: str) -> Finding | None:
        """Return the complaint that a line begins, if it begins one.

        Args:
            line: One console line, with its time stamp.

        Returns:
            The finding, or None.
        """
        self._line_no += 1
        text = _message(line)
        if _AFRESH.match(text):
            self._awaits_body = False
        match = _RULE.match(text)
        if match is None:
            return None
        kind = next(kind for i, (kind, _) in enumerate(_RULES) if match[f"r{i}"] is not None)
        if kind is Kind.OOPS:
            expected, self._awaits_body = self._awaits_body, not _BODY.match(text)
            if expected and not self._awaits_body:
                return None
        return Finding(kind, self._line_no, text)


def _message(line: str) -> str:
    stamps = list(_STAMP.finditer(line))
    return line[stamps[-1].end() if stamps else 0 :].strip()


def findings(lines: Iterable[str]) -> list[Finding]:
    """Find every complaint in a console.

    Args:
        lines: The console's lines, with their time stamps.

    Returns:
        The findings, in order.
    """
    recogniser = Recogniser()
    return [found for line in lines if (found := recogniser.feed(line)) is not None]
