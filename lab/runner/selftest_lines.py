# SPDX-License-Identifier: Apache-2.0
"""How programs of a suite ended, as kselftest's runner prints it; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lab.ssh.session import Result


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a test that goes on after a kexec.

    Attributes:
        name: What it is called.
        came: How its program ended; None if that is no program, or did not come to run.
        wrong: Why it failed, where no program tells; "" if it did not.
    """

    name: str
    came: Result | None = None
    wrong: str = ""


def told(n: int, name: str, came: Result) -> Iterator[str]:
    """Yield how a program ended as kselftest's runner prints it, its own output first.

    Args:
        n: Its number, from 1.
        name: Its name, with its suite.
        came: How it ended.

    Returns:
        Lines of KTAP.

    Source: tools/testing/selftests/kselftest/runner.sh; exit status 4 is KSFT_SKIP.
    """
    yield from (f"# {line}" for line in _said(came))
    yield _line(n, f"selftests: {name}", came.status)


def told_stages(n: int, name: str, stages: tuple[Stage, ...]) -> Iterator[str]:
    """Yield how a test of two stages ended; each stage is a subtest.

    Args:
        n: Its number, from 1.
        name: Its name, with its suite.
        stages: What came of each, in order: that of which something came.

    Returns:
        Lines of KTAP.
    """
    yield "# KTAP version 1"
    for i, stage in enumerate(stages, 1):
        if stage.came is None:
            wrong = f" # {' '.join(stage.wrong.split())}" if stage.wrong else ""
            yield f"# {'not ok' if stage.wrong else 'ok'} {i} {stage.name}{wrong}"
            continue
        yield from (f"# # {line}" for line in _said(stage.came))
        yield f"# {_line(i, stage.name, stage.came.status)}"
    yield f"# 1..{len(stages)}"
    last = stages[-1]
    status = last.came.status if last.came else 1
    yield _line(n, f"selftests: {name}", status)


def _line(n: int, name: str, status: int) -> str:
    match status:
        case 0:
            return f"ok {n} {name}"
        case 4:  # kselftest's word for it
            return f"ok {n} {name} # SKIP"
        case 124:  # timeout(1)'s
            return f"not ok {n} {name} # TIMEOUT"
        case _:
            return f"not ok {n} {name} # exit={status}"


def _said(came: Result) -> tuple[str, ...]:
    return (*came.stdout.splitlines(), *came.stderr.splitlines())
