# SPDX-License-Identifier: Apache-2.0
"""Run a kernel's own selftests in an L1 of that kernel; what they print is KTAP."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.build.selftests import Selftests
from lab.config.enums import DisruptionKind
from lab.config.host_request import HostRequest
from lab.deadline import Deadline
from lab.events import Progress
from lab.host.health import complaint
from lab.host.host import RunningHost
from lab.redact import redacted
from lab.runner.pool import Pool
from lab.runner.selftest_lines import told, told_stages
from lab.runner.staged_selftest import SELFTESTS_IN_L1, in_two_stages
from lab.ssh.session import Result, Session


@dataclass(frozen=True, slots=True)
class HowToRun:
    """How each program of a suite is run.

    Attributes:
        timeout_s: How long it may take, in seconds.
        env: "NAME=VALUE", for its environment.
    """

    timeout_s: float
    env: tuple[str, ...] = ()


def run_selftests(
    pool: Pool, request: HostRequest, tests: Selftests, evidence: Path, how: HowToRun
) -> tuple[str, str]:
    """Run every program of a suite: all on one host, and those of two stages each on its own.

    Args:
        pool: Has the hosts, which the tests taint.
        request: The host.
        tests: The suite, built.
        evidence: The folder for the KTAP and the hosts' consoles.
        how: How each program is run.

    Returns:
        The KTAP, and the first complaint of a host's kernel; "" if there is none.

    Raises:
        LabError: The host could not be booted, or was lost.

    Source: Documentation/dev-tools/ktap.rst.
    """
    evidence.mkdir(parents=True, exist_ok=True)
    total = len(tests.programs) + len(tests.staged)
    lines = ["KTAP version 1", f"1..{total}"]
    lines += [f"# {script} is a script, and was not run" for script in tests.scripts]
    sink, what = pool.lab_session.sink, f"selftests {tests.suite}"
    complaints = []
    if tests.programs:
        with attended(pool, request, evidence / "host-console.log") as (host, heard):
            host.session.check(["mkdir", "-p", SELFTESTS_IN_L1])
            for n, program in enumerate(tests.programs, 1):
                sink(Progress(what=what, done=n - 1, total=total))
                there = f"{SELFTESTS_IN_L1}/{n}"
                host.session.put(program, there, mode=0o755)
                came = run_program(host.session, there, timeout_s=how.timeout_s, env=how.env)
                lines += told(n, f"{tests.suite}: {program.name}", came)
                host.session.check(["rm", "-f", there])
        complaints += heard
    for n, program in enumerate(tests.staged, len(tests.programs) + 1):
        sink(Progress(what=what, done=n - 1, total=total))
        console = evidence / f"host-console-{program.name}.log"
        with attended(pool, request, console) as (host, heard):
            stages = in_two_stages(host, program, lambda argv: _run(host, argv, how))
            lines += told_stages(n, f"{tests.suite}: {program.name}", stages)
        complaints += heard
    text = "\n".join(lines) + "\n"
    (evidence / "selftests.ktap").write_text(redacted(text), encoding="utf-8")
    return text, next(iter(complaints), "")


@contextmanager
def attended(
    pool: Pool, request: HostRequest, console: Path
) -> Iterator[tuple[RunningHost, list[str]]]:
    """Lease a host for tests that taint it, listen to its kernel, and keep its console.

    Args:
        pool: Has the hosts.
        request: The host.
        console: The file for its console.

    Yields:
        The host, and a list that has its kernel's first complaint when the block has ended.
    """
    heard: list[str] = []
    with pool.lease(request) as host:
        since = host.console.mark()
        try:
            yield host, heard
        finally:
            console.write_text(redacted(host.console.text), encoding="utf-8")
        host.taint("selftests ran on it")  # they load modules, change sysctls, leave sessions
        if complained := complaint(
            host, since, DisruptionKind.KEXEC if len(host.boots) > 1 else DisruptionKind.NONE
        ):
            heard.append(str(complained))


def _run(host: RunningHost, argv: Sequence[str], how: HowToRun) -> Result:
    return run_program(host.session, *argv, timeout_s=how.timeout_s, env=how.env)


def run_program(
    session: Session,
    program: str,
    *words: str,
    timeout_s: float,
    env: Sequence[str],
    cwd: str = SELFTESTS_IN_L1,
) -> Result:
    """Run one program, and end it when its time is over.

    Args:
        session: A session with the host.
        program: Its path there.
        words: Its arguments.
        timeout_s: How long it may take, in seconds.
        env: "NAME=VALUE", beside the environment that it has.
        cwd: The folder that it runs in.

    Returns:
        Its status and output; 124 if its time was over, 137 if it had to be killed then.

    Raises:
        UnreachableError: The host was lost.
    """
    argv = ["timeout", "-k", "5", f"{timeout_s:g}", "env", *env, program, *words]
    return session.run(argv, by=Deadline.after(timeout_s + 30), cwd=cwd)
