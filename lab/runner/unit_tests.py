# SPDX-License-Identifier: Apache-2.0
"""kvm-unit-tests in an L1: each is a guest of QEMU's there, and what it prints becomes KTAP.

Source: scripts/runtime.bash, scripts/arch-run.bash, x86/run, arm/run and lib/report.c of
kvm-unit-tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from lab.arch import Arch
from lab.build.kvm_unit_tests import UnitTest
from lab.config.host_request import HostRequest
from lab.deadline import Deadline
from lab.events import Progress
from lab.host.host import RunningHost
from lab.redact import redacted
from lab.runner.pool import Pool
from lab.runner.selftest import HowToRun, attended
from lab.ssh.session import Result

SUITE = "kvm-unit-tests"
_THERE = "/run/kvm-unit-tests"
_CORES = "MAX_SMP=$(getconf _NPROCESSORS_CONF)"  # as unittests.cfg has them
_ENVIRON = f"{_THERE}/environ"  # what the tests read of their surroundings, as an initrd
_LINE = re.compile(r"(PASS|FAIL|SKIP|XFAIL|XPASS|KFAIL): (.*)")
_WORDS = {
    "PASS": ("ok", ""),
    "FAIL": ("not ok", ""),
    "SKIP": ("ok", " # SKIP"),
    "XFAIL": ("ok", " # XFAIL"),
    "KFAIL": ("not ok", " # XFAIL a known failure"),
    "XPASS": ("not ok", " # it passed, and a failure was expected"),
}
# What wants more around a test than a guest alone.
_NOT_RUN = {"migration": "it is migrated by a script", "panic": "a script waits for its panic"}


def run_unit_tests(
    pool: Pool, request: HostRequest, tests: Sequence[UnitTest], evidence: Path, how: HowToRun
) -> tuple[str, str]:
    """Run unit tests on a host, which is tainted by it.

    Args:
        pool: Has the hosts.
        request: The host.
        tests: The tests, compiled.
        evidence: The folder for the KTAP and the host's console.
        how: How each is run; a test with a time limit of its own has that one.

    Returns:
        The KTAP, and the first complaint of the host's kernel; "" if it has none.

    Raises:
        LabError: The host could not be booted, or was lost.
    """
    evidence.mkdir(parents=True, exist_ok=True)
    lines = ["KTAP version 1", f"1..{len(tests)}"]
    with attended(pool, request, evidence / "host-console.log") as (host, heard):
        host.session.check(["mkdir", "-p", _THERE])
        environ = ["QEMU_ACCEL=kvm", "ERRATA_FORCE=y", *how.env]
        host.session.check(["tee", _ENVIRON], stdin="".join(f"{e}\n" for e in environ).encode())
        for n, test in enumerate(tests, 1):
            pool.lab_session.sink(Progress(what=SUITE, done=n - 1, total=len(tests)))
            why = why_not(host, test)
            lines += (
                [f"ok {n} {SUITE}: {test.name} # SKIP {why}"]
                if why
                else told_unit_test(n, test, _run(host, test, how.timeout_s))
            )
    text = "\n".join(lines) + "\n"
    (evidence / "selftests.ktap").write_text(redacted(text), encoding="utf-8")
    return text, next(iter(heard), "")


def why_not(host: RunningHost, test: UnitTest) -> str:
    """Return why a test is not run on a host; "" if it is.

    Args:
        host: The host; the files that the test wants checked are read there.
        test: The test.
    """
    for group, why in _NOT_RUN.items():
        if group in test.groups:
            return why
    if test.accel.partition(",")[0] not in {"", "kvm"}:
        return f"it is for {test.accel} only"
    if test.disabled_if:
        script = f"{_CORES}\nTARGET=qemu\n{test.disabled_if}"
        if host.session.run(["bash", "-c", script]).status == 0:
            return f"it is disabled if {test.disabled_if}"
    for wanted in test.check.split():
        path, _, value = wanted.partition("=")
        found = host.session.run(["cat", path]).stdout.strip()
        if found != value:
            return f"{path} is {found or 'not there'}, and not {value}"
    return ""


def script_of(arch: Arch, test: UnitTest, image: str, seconds: str) -> str:
    """Compose the script that runs a test in an L1: unittests.cfg is written for a shell.

    Args:
        arch: The architecture.
        test: The test.
        image: Its guest's path there.
        seconds: How long it may take, as timeout(1) reads it.

    Returns:
        A script for bash, whose status is QEMU's.
    """
    emulator = (
        f"{arch.traits.emulator} -nodefaults --no-reboot -accel {test.accel or 'kvm'} "
        f"{arch.traits.unit_test_devices} -device pci-testdev -display none -serial stdio "
        f"-initrd {_ENVIRON}"
    )
    # The tests' words come last, and so win.
    limit = f"timeout -k 1s --foreground {seconds}"
    return f"{_CORES}\n{limit} {emulator} -kernel {image} -smp {test.smp} {test.params} </dev/null"


def told_unit_test(n: int, test: UnitTest, came: Result) -> Iterator[str]:
    """Yield how a test ended as KTAP; what it reported by itself are its subtests.

    Args:
        n: Its number, from 1.
        test: The test.
        came: How its QEMU ended. A status of 1 is a pass, unless QEMU had something to say.

    Returns:
        Lines of KTAP.
    """
    reported = 0
    yield "# KTAP version 1"
    for line in came.stdout.splitlines():
        if match := _LINE.match(line.strip()):
            reported += 1
            word, more = _WORDS[match[1]]
            yield f"# {word} {reported} {_name(match[2])}{more}"
        else:
            yield f"# > {line}"  # it is no KTAP, and a bare "ok" in it no result
    yield from (f"# > {line}" for line in came.stderr.splitlines())
    yield f"# 1..{reported}"
    name = f"{n} {SUITE}: {_name(test.name)}"
    match came.status:  # QEMU's is (the guest's << 1) | 1
        case 1 if not _complained(came.stderr):
            yield f"ok {name}"
        case 1:
            yield f"not ok {name} # QEMU failed"
        case 77:
            yield f"ok {name} # SKIP"
        case 124:
            yield f"not ok {name} # TIMEOUT"
        case 0:
            yield f"not ok {name} # QEMU ended, and not by the test's order"
        case status:
            yield f"not ok {name} # exit={status}"


def _run(host: RunningHost, test: UnitTest, timeout_s: float) -> Result:
    there = f"{_THERE}/{test.image.name}"
    host.session.put(test.image, there, mode=0o644)
    seconds = test.timeout or f"{timeout_s:g}"
    script = script_of(host.blueprint.request.arch, test, there, seconds)
    by = Deadline.after(_in_seconds(seconds) + 30)
    came = host.session.run(["bash", "-c", script], by=by, cwd=_THERE)
    host.session.check(["rm", "-f", there])
    return came


def _in_seconds(text: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    unit = units.get(text[-1:], 0)
    return float(text[:-1]) * unit if unit else float(text)


def _complained(stderr: str) -> bool:
    return any("warning" not in line.lower() for line in stderr.splitlines() if line.strip())


def _name(text: str) -> str:
    return text.replace("#", "\\#")
