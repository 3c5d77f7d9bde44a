# SPDX-License-Identifier: Apache-2.0
"""The kernel's own KUnit: built in, run as it boots, and read from debugfs, which is KTAP.

Source: Documentation/dev-tools/kunit/; lib/kunit/debugfs.c; tools/testing/kunit/configs/.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

from lab.config.host_request import HostRequest
from lab.errors import ConfigError
from lab.redact import redacted
from lab.runner.pool import Pool
from lab.runner.selftest import attended

FRAGMENT = """\
CONFIG_KUNIT=y
CONFIG_DEBUG_FS=y
CONFIG_KUNIT_DEBUGFS=y
CONFIG_KUNIT_EXAMPLE_TEST=y
CONFIG_KUNIT_ALL_TESTS=y
"""
"""What a kernel is configured with, as kunit.py does where nobody names a .kunitconfig."""

NEEDED = """\
CONFIG_KUNIT=y
CONFIG_DEBUG_FS=y
CONFIG_KUNIT_DEBUGFS=y
"""
"""What it is configured with beside a .kunitconfig."""

_FOLDER = "/sys/kernel/debug/kunit"


def run_kunit(pool: Pool, request: HostRequest, evidence: Path, *, only: str) -> tuple[str, str]:
    """Boot a host whose kernel has KUnit, and read what its suites came to.

    Args:
        pool: Has the hosts; this one is tainted, as KUnit taints its kernel.
        request: The host.
        evidence: The folder for the KTAP and the host's console.
        only: A glob, by which suites are chosen.

    Returns:
        The KTAP, and the first complaint of the host's kernel; "" if it has none.

    Raises:
        ConfigError: The kernel has no KUnit that shows its results, or no such suite.
        LabError: The host could not be booted, or was lost.
    """
    evidence.mkdir(parents=True, exist_ok=True)
    with attended(pool, request, evidence / "host-console.log") as (host, heard):
        suites = host.session.run(["ls", _FOLDER]).stdout.split()
        if not suites:
            raise ConfigError(
                f"kernel {request.kernel!r} shows no results of KUnit in {_FOLDER}",
                hint="build it with CONFIG_KUNIT=y, CONFIG_KUNIT_DEBUGFS=y and a suite",
            )
        chosen = [suite for suite in suites if fnmatchcase(suite, only)]
        if not chosen:
            raise ConfigError(
                f"no suite of KUnit matches --only={only}", hint=f"there are: {', '.join(suites)}"
            )
        parts = [host.session.check(["cat", f"{_FOLDER}/{suite}/results"]) for suite in chosen]
    text = "".join(parts)
    (evidence / "selftests.ktap").write_text(redacted(text), encoding="utf-8")
    return text, next(iter(heard), "")
