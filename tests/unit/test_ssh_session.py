# SPDX-License-Identifier: Apache-2.0
"""Commands and files on a host that is there, over a real SSH server."""

from __future__ import annotations

import os
import resource
import shlex
import signal
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.deadline import Deadline, until
from lab.errors import InfraError
from lab.ssh.session import Result, Session
from tests.support.sshd import Host, serving

PLENTY = 8 << 20


@pytest.fixture
def host() -> Iterator[Host]:
    with serving() as served:
        yield served


@pytest.fixture
def session(host: Host) -> Iterator[Session]:
    with host.session() as opened:
        yield opened


def test_connecting_over_loopback_takes_a_fraction_of_a_second(host: Host) -> None:
    began = time.monotonic()
    with host.session():
        took = time.monotonic() - began

    assert took < 1
    assert host.connections == 1


def test_run_tells_status_stdout_and_stderr_apart(session: Session) -> None:
    result = session.run(["sh", "-c", "echo out; echo err >&2; exit 3"])

    assert result == Result("sh -c 'echo out; echo err >&2; exit 3'", 3, "out\n", "err\n")


def test_arguments_arrive_as_they_were_given(session: Session) -> None:
    awkward = ["a b", "'", '"', "$HOME", ";", "*", "", "é", "back\\slash", "new\nline"]

    told = session.check(["printf", "%s\\0", *awkward])

    assert told.split("\0")[:-1] == awkward


def test_check_gives_stdout(session: Session) -> None:
    assert session.check(["echo", "fine"]) == "fine\n"


def test_check_raises_with_command_status_and_last_words(session: Session) -> None:
    with pytest.raises(InfraError) as raised:
        session.check(["sh", "-c", "seq 100 >&2; exit 7"])

    message = str(raised.value)
    assert "seq 100" in message
    assert "on l1-a ended with 7: 95\n" in message
    assert message.endswith("\n100")


def test_a_command_that_is_not_there_is_a_status(session: Session) -> None:
    assert session.run(["there-is-no-such-program"]).status == 127


def test_a_command_killed_by_a_signal_is_not_a_lost_host(session: Session) -> None:
    assert session.run(["sh", "-c", "kill -KILL $$"]).status == 128 + signal.SIGKILL


def test_stdin_reaches_the_command_and_ends(session: Session) -> None:
    assert session.check(["wc", "-c"], stdin=b"x" * PLENTY).strip() == str(PLENTY)


def test_a_command_may_leave_its_stdin_unread(session: Session) -> None:
    assert session.run(["true"], stdin=b"x" * PLENTY).status == 0


def test_a_command_runs_where_it_is_told_to(session: Session, tmp_path: Path) -> None:
    place = tmp_path / "a place"
    place.mkdir()

    assert session.check(["pwd"], cwd=str(place)) == f"{place}\n"


def test_much_on_both_outputs_does_not_block(session: Session) -> None:
    both = f"head -c {PLENTY} /dev/zero >&2; head -c {PLENTY} /dev/zero"

    result = session.run(["sh", "-c", both])

    assert (len(result.stdout), len(result.stderr)) == (PLENTY, PLENTY)


def test_output_that_is_no_text_is_still_told(session: Session) -> None:
    assert session.check(["printf", "\\377ok"]) == "\N{REPLACEMENT CHARACTER}ok"


def test_two_threads_share_a_session(session: Session, tmp_path: Path) -> None:
    def work(who: int) -> list[str]:
        told = []
        for turn in range(10):
            file = str(tmp_path / f"{who}")
            session.put(f"{who}.{turn}".encode(), file)
            told.append(session.get(file).decode() + session.check(["echo", f"-{who}"]).strip())
        return told

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(work, [1, 2])

    assert first == [f"1.{turn}-1" for turn in range(10)]
    assert second == [f"2.{turn}-2" for turn in range(10)]


def test_spawned_program_outlives_the_ssh_session(host: Host, tmp_path: Path) -> None:
    with host.session() as session:
        pid = session.spawn(["sleep", "60"], str(tmp_path / "log"))
    try:
        assert os.getsid(pid) == pid
        assert Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x0060\x00"
    finally:
        os.kill(pid, signal.SIGKILL)


def test_spawned_program_writes_its_log_and_gets_its_environment(
    session: Session, tmp_path: Path
) -> None:
    log = tmp_path / "the log"

    pid = session.spawn(["sh", "-c", "echo $$ $WHO; echo >&2"], str(log), {"WHO": "me & you"})

    def written() -> str | None:
        return log.read_text() if log.exists() and log.stat().st_size else None

    assert until("the log", written, Deadline.after(5)).startswith(f"{pid} me & you\n")


def test_spawning_what_is_not_there_says_so(session: Session, tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="there is no program 'labvmm'"):
        session.spawn(["labvmm"], str(tmp_path / "log"))


def test_spawning_with_a_log_that_cannot_be_says_so(session: Session, tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="absent/log"):
        session.spawn(["true"], str(tmp_path / "absent" / "log"))


@pytest.mark.parametrize("size", [0, 1, 100_000, PLENTY])
def test_what_is_put_is_got(session: Session, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    remote = str(tmp_path / "remote file")

    session.put(content, remote)

    assert session.get(remote) == content


def test_a_file_is_put_with_its_mode(session: Session, tmp_path: Path) -> None:
    local, remote = tmp_path / "local", tmp_path / "remote"
    local.write_bytes(b"secret")

    session.put(local, str(remote), mode=0o600)

    assert remote.read_bytes() == b"secret"
    assert stat.S_IMODE(remote.stat().st_mode) == 0o600


def test_putting_replaces_what_was_there(session: Session, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    remote.write_bytes(b"long before")

    session.put(b"now", str(remote))

    assert remote.read_bytes() == b"now"


def test_a_file_without_a_known_size_is_read_to_its_end(session: Session) -> None:
    assert b"VmRSS" in session.get("/proc/self/status")


def test_getting_what_is_not_there_names_it(session: Session, tmp_path: Path) -> None:
    remote = str(tmp_path / "absent")

    with pytest.raises(InfraError, match=f"get {shlex.quote(remote)} on l1-a: No such file"):
        session.get(remote)


@contextmanager
def files_may_grow_to(size: int) -> Iterator[None]:
    """Let every file of this process, which is the host's too, be no longer than `size`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_that_does_not_fit_is_told_and_is_no_lost_host(
    session: Session, tmp_path: Path
) -> None:
    remote = tmp_path / "remote"

    with files_may_grow_to(50_000), pytest.raises(InfraError, match=r"put .* on l1-a") as raised:
        session.put(b"x" * 100_000, str(remote))

    assert type(raised.value) is InfraError
    assert remote.stat().st_size < 100_000
    session.put(b"the channel is still good", str(remote))
