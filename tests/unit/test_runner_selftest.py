# SPDX-License-Identifier: Apache-2.0
"""Suites of the kernel's tree on a host: in one stage, or in two with the lab's kexec between."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.build.selftests import Selftests
from lab.config.model import KexecLoad
from lab.errors import HostDiedError, InfraError
from lab.report.ktap_input import children_of
from lab.runner import staged_selftest
from lab.runner.pool import Pool
from lab.runner.selftest import HowToRun, run_selftests
from lab.ssh.session import Result
from tests.support.suite_hosts import Host, Hosts, ended, identity

SUITE = Selftests("liveupdate", (Path("one"),), staged=(Path("luo"),), scripts=("do_kexec.sh",))


class Kexec:
    """The lab's kexec: refused, deadly, without an effect, or done."""

    def __init__(self, fate: str = "", how: KexecLoad = KexecLoad.FILE_LOAD) -> None:
        self.fate, self.how, self.jumps = fate, how, 0

    def load(self, host: Host, *, how: KexecLoad, by: object) -> Any:
        """Load, unless it is refused."""
        if self.fate == "refused":
            raise InfraError("kexec_file_load failed: EADDRNOTAVAIL")
        return SimpleNamespace(nonce="n1", how=self.how)

    def jump(self, host: Host, loaded: object, by: object) -> None:
        """Enter the next kernel."""
        self.jumps += 1
        host.session.done.append(("kexec",))
        if self.fate == "died":
            raise HostDiedError("a: panic")
        if self.fate != "same":
            host.identity = identity("boot-2", "n1")
            host.boots.append(host.identity)


def told_by(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kexec: Kexec,
    *,
    first: Result | None = None,
    second: Result | None = None,
) -> tuple[list[tuple[int, str, str, str]], Hosts]:
    def answer(argv: Sequence[str]) -> Result:
        if list(argv[-2:]) == ["-s", "1"]:
            return first or ended(out="# [STAGE 1] You may now perform kexec reboot.\n")
        if list(argv[-2:]) == ["-s", "2"]:
            return second or ended(out="# PASSED\n")
        return ended()

    monkeypatch.setattr(staged_selftest, "kexecs", kexec)
    pool = Hosts(answer)
    text, _ = run_selftests(
        cast("Pool", pool), cast("Any", None), SUITE, tmp_path, HowToRun(30, ("a=b",))
    )
    assert (tmp_path / "selftests.ktap").read_text() == text
    return [(c.depth, c.status, c.name, c.comment) for c in children_of(text)], pool


def test_second_stage_runs_after_a_kexec_on_a_host_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, pool = told_by(tmp_path, monkeypatch, Kexec())

    assert told == [
        (0, "ok", "selftests: liveupdate: one", ""),
        (1, "ok", "stage 1", ""),
        (1, "ok", "kexec", ""),
        (1, "ok", "stage 2", ""),
        (0, "ok", "selftests: liveupdate: luo", ""),
    ]
    plain, staged = pool.leased
    assert ("kexec",) not in plain.session.done
    program = "/run/selftests/luo"
    timed = ("timeout", "-k", "5", "30", "env", "a=b", program, "-s")
    done = [d for d in staged.session.done if d[0] != "mkdir"]
    put = ("put", "luo", program)
    assert done == [put, (*timed, "1"), ("kexec",), put, (*timed, "2")]
    assert all(host.tainted for host in pool.leased)
    assert (tmp_path / "host-console-luo.log").read_text() == "booted\n"


@pytest.mark.parametrize(
    ("kexec", "says"),
    [
        (Kexec("refused"), "it was refused: kexec_file_load failed: EADDRNOTAVAIL"),
        (Kexec("died"), "the host died: a: panic"),
        (Kexec("same"), "it did not happen"),
        (Kexec(how=KexecLoad.LOAD), "the kernel has no kexec_file_load()"),
    ],
)
def test_without_a_kexec_there_is_no_second_stage_and_no_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kexec: Kexec, says: str
) -> None:
    told, pool = told_by(tmp_path, monkeypatch, kexec)

    assert [(d, s, n) for d, s, n, _ in told[1:]] == [
        (1, "ok", "stage 1"),
        (1, "not ok", "kexec"),
        (0, "not ok", "selftests: liveupdate: luo"),
    ]
    assert told[2][3].startswith(says)
    assert not [d for d in pool.leased[1].session.done if d[-1:] == ("2",)]


@pytest.mark.parametrize(
    ("status", "outer"), [(4, "skip"), (124, "timeout"), (1, "not ok"), (139, "not ok")]
)
def test_a_first_stage_that_does_not_pass_is_followed_by_no_kexec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, outer: str
) -> None:
    kexec = Kexec()
    told, _ = told_by(tmp_path, monkeypatch, kexec, first=ended(status))
    assert kexec.jumps == 0
    assert [t[:3] for t in told[1:]] == [
        (1, outer, "stage 1"),
        (0, outer, "selftests: liveupdate: luo"),
    ]


def test_what_the_second_stage_says_is_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = ended(1, "not ok 1 # data mismatch\n")
    told, _ = told_by(tmp_path, monkeypatch, Kexec(), second=second)
    assert told[3:] == [
        (2, "not ok", "1", "data mismatch"),
        (1, "not ok", "stage 2", "exit=1"),
        (0, "not ok", "selftests: liveupdate: luo", "exit=1"),
    ]


def test_scripts_that_are_not_run_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told_by(tmp_path, monkeypatch, Kexec())
    text = (tmp_path / "selftests.ktap").read_text()
    assert "# do_kexec.sh is a script, and was not run\n" in text
