# SPDX-License-Identifier: Apache-2.0
"""Hosts that are not there yet, are another one, or go away under a command."""

from __future__ import annotations

import dataclasses
import socket
import threading
import time
from pathlib import Path

import pytest

from lab.deadline import Deadline, pause
from lab.errors import DeadlineError, InfraError, UnreachableError
from lab.ssh.keys import fingerprint, new_key, public_blob
from tests.support.sshd import Act, Host, Script, free_port, serving, standing

GONE = [Act.CLOSE_BEFORE, Act.CLOSE_AFTER, Act.RESET, Act.FALL_SILENT]


def dies_of(word: str, act: Act) -> Script:
    return lambda command: act if word in command else Act.RUN


@pytest.mark.parametrize("act", GONE)
def test_a_host_that_dies_under_a_command_is_unreachable(act: Act) -> None:
    with (
        serving(dies_of("kexec", act)) as host,
        host.session() as session,
        pytest.raises(UnreachableError, match=r"^lost l1-a during: kexec -e \("),
    ):
        session.run(["kexec", "-e"], timeout_s=1)


@pytest.mark.parametrize("act", GONE)
def test_a_deed_is_never_sent_twice(act: Act) -> None:
    with serving(dies_of("kexec", act)) as host, host.session() as session:
        with pytest.raises(UnreachableError):
            session.check(["kexec", "-e"], timeout_s=1)

        assert len(host.commands) == 1


@pytest.mark.parametrize("act", GONE)
def test_after_a_death_everything_is_unreachable(act: Act, tmp_path: Path) -> None:
    remote = str(tmp_path / "remote")
    with serving(dies_of("kexec", act)) as host, host.session() as session:
        session.put(b"before", remote)
        with pytest.raises(UnreachableError):
            session.run(["kexec", "-e"], timeout_s=0.5)

        with pytest.raises(UnreachableError, match="lost l1-a during: true"):
            session.run(["true"], timeout_s=0.5)
        with pytest.raises(UnreachableError, match=f"lost l1-a during: put {remote}"):
            session.put(b"after", remote, timeout_s=0.5)
        with pytest.raises(UnreachableError, match=f"lost l1-a during: get {remote}"):
            session.get(remote, timeout_s=0.5)


def test_slow_command_times_out_and_the_session_lives() -> None:
    with serving() as host, host.session() as session:
        began = time.monotonic()
        with pytest.raises(UnreachableError, match=r"sleep 60 \(no answer in time\)"):
            session.run(["sleep", "60"], timeout_s=0.5)

        assert 0.4 < time.monotonic() - began < 3
        assert session.check(["echo", "dmesg"]) == "dmesg\n"


def test_a_thread_waiting_on_a_closed_session_is_told() -> None:
    with serving() as host:
        session = host.session()
        closing = threading.Timer(0.3, session.close)
        closing.start()

        with pytest.raises(UnreachableError, match="lost l1-a during: sleep 60"):
            session.run(["sleep", "60"])
        closing.join()


def test_another_host_key_is_refused_at_once_naming_both() -> None:
    with serving() as host:
        ours = new_key()
        wrong = dataclasses.replace(host, host_key=ours)
        began = time.monotonic()
        with pytest.raises(InfraError) as raised:
            wrong.session()

        assert time.monotonic() - began < 2
        assert not isinstance(raised.value, UnreachableError | DeadlineError)
        assert fingerprint(public_blob(ours.public_line)) in str(raised.value)
        assert fingerprint(public_blob(host.host_key.public_line)) in str(raised.value)
        assert host.connections == 1


def test_another_user_key_is_refused_at_once() -> None:
    with serving() as host:
        wrong = dataclasses.replace(host, user_key=new_key())

        with pytest.raises(InfraError, match=f"l1-a at 127.0.0.1:{host.port} refused the key"):
            wrong.session()

        assert host.connections == 1


def test_a_host_whose_sshd_comes_late_is_waited_for() -> None:
    host = Host(port=free_port())
    done = threading.Event()

    def come_late() -> None:
        pause(0.5)
        with standing(host):
            done.wait(10)

    coming = threading.Thread(target=come_late)
    coming.start()
    try:
        with host.session() as session:
            assert session.check(["echo", "here"]) == "here\n"
    finally:
        done.set()
        coming.join()


def test_a_host_that_never_comes_is_named_with_the_last_answer() -> None:
    absent = Host(port=free_port())

    with pytest.raises(DeadlineError) as raised:
        absent.session(seconds=0.5)

    assert f"waited for sshd on l1-a at 127.0.0.1:{absent.port}" in str(raised.value)
    assert "Connection refused" in str(raised.value)


def test_silent_ssh_port_is_waited_for_until_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        mute = Host(port=listener.getsockname()[1])
        began = time.monotonic()
        with pytest.raises(DeadlineError, match="which did not come"):
            mute.session(seconds=1)

        assert time.monotonic() - began < 3


def test_the_deadline_of_a_session_is_not_that_of_its_commands() -> None:
    with serving() as host, host.session(seconds=1) as session:
        assert session.run(["sleep", "1.2"], by=Deadline.after(10)).status == 0
