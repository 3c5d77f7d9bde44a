# SPDX-License-Identifier: Apache-2.0
"""Run a kernel's own selftests in an L1 of that kernel; what they print is KTAP."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lab.build.selftests import Selftests
from lab.config.host_request import HostRequest
from lab.deadline import Deadline
from lab.events import Progress
from lab.host.health import complaint
from lab.redact import redacted
from lab.runner.pool import Pool
from lab.ssh.session import Result, Session

_THERE = "/run/selftests"


def run_selftests(
    pool: Pool,
    request: HostRequest,
    tests: Selftests,
    evidence: Path,
    *,
    timeout_s: float,
    env: Sequence[str] = (),
) -> tuple[str, str]:
    """Run every program of a suite on a host, which is tainted by it.

    Args:
        pool: Has the hosts.
        request: The host.
        tests: The suite, built.
        evidence: The folder for the KTAP and the host's console.
        timeout_s: How long each program may take, in seconds.
        env: "NAME=VALUE", for each program's environment.

    Returns:
        The KTAP, and the first complaint of the host's kernel; "" if it has none.

    Raises:
        LabError: The host could not be booted, or was lost.

    Source: Documentation/dev-tools/ktap.rst.
    """
    evidence.mkdir(parents=True, exist_ok=True)
    with pool.lease(request) as host:
        since = host.console.mark()
        host.session.check(["mkdir", "-p", _THERE])
        lines = ["KTAP version 1", f"1..{len(tests.programs)}"]
        what = f"selftests {tests.suite}"
        for n, program in enumerate(tests.programs, 1):
            pool.lab_session.sink(Progress(what=what, done=n - 1, total=len(tests.programs)))
            there = f"{_THERE}/{n}"
            host.session.put(program, there, mode=0o755)
            came = run_program(host.session, there, timeout_s=timeout_s, env=env)
            lines += told(n, f"{tests.suite}: {program.name}", came)
            host.session.check(["rm", "-f", there])
        host.taint("selftests ran on it")  # they load modules, change sysctls, leave sessions
        complained = str(complaint(host, since) or "")
        (evidence / "host-console.log").write_text(redacted(host.console.text), encoding="utf-8")
    text = "\n".join(lines) + "\n"
    (evidence / "selftests.ktap").write_text(redacted(text), encoding="utf-8")
    return text, complained


def run_program(
    session: Session, program: str, *, timeout_s: float, env: Sequence[str], cwd: str = _THERE
) -> Result:
    """Run one program, and end it when its time is over.

    Args:
        session: A session with the host.
        program: Its path there.
        timeout_s: How long it may take, in seconds.
        env: "NAME=VALUE", beside the environment that it has.
        cwd: The folder that it runs in.

    Returns:
        Its status and output; 124 if its time was over, 137 if it had to be killed then.

    Raises:
        UnreachableError: The host was lost.
    """
    argv = ["timeout", "-k", "5", f"{timeout_s:g}", "env", *env, program]
    return session.run(argv, by=Deadline.after(timeout_s + 30), cwd=cwd)


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
    said: Iterable[str] = (*came.stdout.splitlines(), *came.stderr.splitlines())
    yield from (f"# {line}" for line in said)
    match came.status:
        case 0:
            yield f"ok {n} selftests: {name}"
        case 4:  # kselftest's word for it
            yield f"ok {n} selftests: {name} # SKIP"
        case 124:  # timeout(1)'s
            yield f"not ok {n} selftests: {name} # TIMEOUT"
        case status:
            yield f"not ok {n} selftests: {name} # exit={status}"
