# SPDX-License-Identifier: Apache-2.0
"""A signal unwinds a command once, at any step but between a thing and what unmakes it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from lab.deadline import pause
from lab.signals import StoppedError, stoppable, whole


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_unwinds_once_and_a_second_does_not_disturb(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    undone = []

    def work() -> None:
        try:
            os.kill(os.getpid(), number)
            pause(5)
        finally:
            os.kill(os.getpid(), number)
            undone.append(True)

    with pytest.raises(StoppedError, match=number.name) as stopped, stoppable():
        work()
    assert undone
    assert stopped.value.status == 128 + number
    assert signal.getsignal(number) == before


def make(undo: ExitStack, made: list[str]) -> None:
    """Make a thing, and say how it is unmade; a signal comes between."""
    made.append("a machine")
    os.kill(os.getpid(), signal.SIGTERM)
    undo.callback(made.clear)


def make_whole(undo: ExitStack, made: list[str]) -> None:
    """Do so in one."""
    with whole(), whole():
        make(undo, made)
    made.append("another")


@pytest.mark.parametrize(("way", "left"), [(make_whole, []), (make, ["a machine"])])
def test_a_signal_waits_for_the_end_of_what_may_not_be_cut(
    way: Callable[[ExitStack, list[str]], None], left: list[str]
) -> None:
    """The second is what would be left behind else."""
    made: list[str] = []
    with pytest.raises(StoppedError), stoppable(), ExitStack() as undo:
        way(undo, made)
    assert made == left


def test_what_goes_wrong_in_the_block_is_what_one_is_told() -> None:
    def go_wrong() -> None:
        with whole():
            os.kill(os.getpid(), signal.SIGTERM)
            raise ValueError("of its own")

    with pytest.raises(ValueError, match="of its own"), stoppable():
        go_wrong()


def test_the_error_is_the_callers_choice() -> None:
    with pytest.raises(KeyboardInterrupt), stoppable(lambda _: KeyboardInterrupt()):
        os.kill(os.getpid(), signal.SIGTERM)


def test_signals_leave_other_threads_and_commands_alone() -> None:
    with whole():
        pass
    seen = []

    def work() -> None:
        with whole():
            seen.append(True)

    with stoppable():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert seen
