# SPDX-License-Identifier: Apache-2.0
"""L0 is late where a thread of QEMU's waits for a CPU, which a sleeper need not notice."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.deadline import Deadline, pause, until
from lab.errors import InfraError
from lab.observe.clocks import Clocks
from lab.observe.jitter import JitterProbe, Probe
from lab.observe.run_delay import Reading, RunDelay, Steal, Waits, merged
from lab.observe.window import Window

LIMIT = 0.010
MS = 1_000_000

# A process with a thread that is called as QEMU calls a vCPU's, and computes.
_VCPU = """
import os, sys, threading
os.sched_setaffinity(0, {int(sys.argv[1])})
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
def run():
    with open(f"/proc/self/task/{threading.get_native_id()}/comm", "w") as comm:
        comm.write(sys.argv[2])
    print("on", flush=True)
    while True:
        pass
threading.Thread(target=run).start()
"""
_BUSY = "import os, sys\nos.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"


@contextmanager
def running(program: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program of Python's for as long as the block lasts."""
    argv = [sys.executable, "-c", program, *words]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def cpu() -> str:
    return str(min(os.sched_getaffinity(0)))


@pytest.fixture
def qemu(cpu: str) -> Iterator[Path]:
    with running(_VCPU, cpu, "CPU 0/TCG") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
        yield Path("/proc") / str(process.pid)


def read(state: str = "S", ran: int = 0, waited: int = 0, turns: int = 1) -> Reading:
    return Reading(state, ran * MS, waited * MS, turns)


def taken(*readings: tuple[float, Reading]) -> list[Window]:
    (at, first), *others = readings
    waits = Waits(first, at, LIMIT)
    return [late for at, now in others if (late := waits.take(now, at)) is not None]


def test_a_wait_that_is_over_ended_at_its_reading() -> None:
    first, second = (1.0, read(waited=100)), (1.005, read(waited=140, turns=2))
    (late,) = taken(first, second)
    assert late.began == pytest.approx(0.965)
    assert late.ended == 1.005


@pytest.mark.parametrize(("waited", "late"), [(10, 0), (11, 1)])
def test_a_wait_within_the_limit_is_none(waited: int, late: int) -> None:
    assert len(taken((1.0, read()), (1.005, read(waited=waited)))) == late


def test_a_wait_is_told_once() -> None:
    once = read(waited=40)
    assert len(taken((1.0, read()), (1.005, once), (1.01, once))) == 1


def test_a_thread_that_could_run_and_does_not_waits_on() -> None:
    stuck = [(n * 0.5, read("R", 7)) for n in range(7)]
    assert taken(*stuck) == [Window(0.0, 2.5), Window(0.0, 3.0)]


def test_a_wait_that_is_over_is_not_one_that_goes_on() -> None:
    over = read("R", 7, waited=100, turns=2)
    late = taken((0.0, read("R", 7)), (1.9, over), (2.1, over))
    assert [w.ended for w in late] == [1.9]


@pytest.mark.parametrize("other", [read("R", 8), read("S", 7), read("R", 7, turns=2)])
def test_a_thread_that_runs_or_sleeps_does_not_wait(other: Reading) -> None:
    seen = [(n * 0.5, read("R", 7) if n % 2 else other) for n in range(9)]
    assert taken(*seen) == []


def test_a_thread_that_slept_for_long_did_not_wait() -> None:
    assert taken(*[(n * 0.5, read("S", 7)) for n in range(9)]) == []


def test_a_thread_that_was_stopped_by_a_signal_was_late() -> None:
    assert taken((1.0, read("T")), (1.5, read("T"))) == [Window(1.0, 1.5)]


def test_a_vcpu_that_waits_is_seen_where_others_are_in_time(qemu: Path, cpu: str) -> None:
    with JitterProbe(LIMIT, qemu) as probe, running(_BUSY, cpu):
        assert probe.how == "run delay of 1 vCPU threads, and steal"
        until("a void", lambda: probe.voids or None, Deadline.after(20))
    assert max(void.length for void in probe.voids) > LIMIT


def test_the_main_loop_is_watched_too(qemu: Path) -> None:
    threads = RunDelay(qemu, LIMIT, 0.0)
    assert [len(threads._threads), threads.vcpus] == [2, 1]
    threads.close()


def test_a_vcpu_that_was_stopped_is_seen(qemu: Path) -> None:
    with JitterProbe(LIMIT, qemu) as probe:
        os.kill(int(qemu.name), signal.SIGSTOP)
        pause(0.5)
        os.kill(int(qemu.name), signal.SIGCONT)
        until("a void", lambda: probe.voids or None, Deadline.after(20))
    assert max(void.length for void in probe.voids) > 0.3


def test_a_qemu_that_ends_is_watched_no_more(cpu: str) -> None:
    with running(_VCPU, cpu, "CPU 0/KVM") as process:
        assert process.stdout is not None
        process.stdout.readline()
        threads = RunDelay(Path("/proc") / str(process.pid), LIMIT, 0.0)
        assert threads.vcpus == 1
        process.kill()
        process.wait()
        assert list(threads.sample(1.0)) == []
        threads.close()


def test_a_process_without_vcpus_is_guessed_about_and_said_so(cpu: str) -> None:
    with running(_VCPU, cpu, "worker") as process:
        assert process.stdout is not None
        process.stdout.readline()
        with JitterProbe(5.0, Path("/proc") / str(process.pid)) as probe:
            assert probe.how.startswith("a sleeper's guess: ")
            assert "has no vCPU's thread" in probe.how


def test_a_kernel_that_does_not_count_is_guessed_about(tmp_path: Path) -> None:
    task = tmp_path / "7" / "task" / "8"
    task.mkdir(parents=True)
    (task / "comm").write_text("CPU 0/KVM\n")
    (task / "stat").write_text("8 (CPU 0/KVM) R 1 1\n")
    with pytest.raises(InfraError, match="schedstat: No such file"):
        RunDelay(tmp_path / "7", LIMIT, 0.0)
    (task / "schedstat").write_text("0 0 0\n")  # without CONFIG_SCHED_INFO
    with pytest.raises(InfraError, match="no vCPU's thread"):
        RunDelay(tmp_path / "7", LIMIT, 0.0)


def test_no_process_at_all_is_guessed_about() -> None:
    assert Probe(LIMIT, None).how == "a sleeper's guess: no process of QEMU's was found"


def test_a_cpu_that_was_taken_away_makes_l0_late(tmp_path: Path) -> None:
    stat = tmp_path / "stat"

    def says(*steal: int) -> None:
        lines = [f"cpu{n} 1 1 1 1 1 1 1 {ticks} 0 0" for n, ticks in enumerate(steal)]
        stat.write_text("\n".join(["cpu  1 1 1 1 1 1 1 999 0 0", *lines, "intr 5"]))

    tick = 1 / os.sysconf("SC_CLK_TCK")
    says(5, 5)
    steal = Steal(1.5 * tick, stat)
    says(6, 7)
    assert [w.length for w in steal.sample(100.0)] == [pytest.approx(2 * tick)]
    assert list(steal.sample(101.0)) == []


def clocks(monotonic: Callable[[], float], boottime: Callable[[], float]) -> Clocks:
    return Clocks(monotonic, boottime, Path("/nonexistent"))


def test_a_suspension_is_what_the_boottime_gained() -> None:
    now = {"m": 10.0, "b": 15.0}
    found = clocks(lambda: now["m"], lambda: now["b"])
    now |= {"m": 11.0, "b": 16.0}
    assert found.asleep() == 0.0
    now |= {"m": 11.1, "b": 28.1}
    assert found.asleep() == pytest.approx(12.0)
    assert found.asleep() == 0.0


def test_a_reading_that_is_cut_is_no_suspension() -> None:
    times = iter([0.0, 5.0, 0.0, 10.0, 16.0, 12.0, *[20.0, 25.0, 20.0] * 99])
    found = clocks(lambda: next(times), lambda: next(times))
    assert found.asleep() == 0.0


def test_a_suspension_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = Probe(LIMIT, None)
    monkeypatch.setattr(probe._clocks, "asleep", lambda: 12.0)
    assert list(probe.sample(1.0, 1.001)) == ["suspended 1.001 12.0"]


def watching(monkeypatch: pytest.MonkeyPatch, qemu: Path, *, waited: float) -> Probe:
    probe = Probe(LIMIT, qemu)
    assert probe._threads is not None
    monkeypatch.setattr(probe._threads, "sample", lambda _at: iter(()))
    monkeypatch.setattr(probe._clocks, "waited", lambda: waited)
    return probe


def test_a_probe_that_was_late_itself_says_nothing_of_qemu(
    monkeypatch: pytest.MonkeyPatch, qemu: Path
) -> None:
    assert list(watching(monkeypatch, qemu, waited=0.5).sample(1.0, 1.5)) == []


def test_a_machine_that_stood_still_as_a_whole_was_late(
    monkeypatch: pytest.MonkeyPatch, qemu: Path
) -> None:
    assert list(watching(monkeypatch, qemu, waited=0.0).sample(1.0, 1.5)) == ["late 1.0 1.5"]


def test_steal_is_asked_for_now_and_then(monkeypatch: pytest.MonkeyPatch, qemu: Path) -> None:
    probe = watching(monkeypatch, qemu, waited=0.0)
    assert probe._steal is not None
    monkeypatch.setattr(probe._steal, "sample", lambda at: [Window(at - 0.02, at)])
    told = [line for n in range(40) for line in probe.sample(n / 200, n / 200 + 0.005)]
    assert len(told) == 2


def test_a_suspension_is_no_void() -> None:
    probe = JitterProbe(LIMIT)
    probe._listen(io.StringIO("late 1.0 2.0\nsuspended 3.0 12.0\n"))
    assert probe.voids == (Window(1.0, 2.0),)
    assert probe.suspended == ((3.0, 12.0),)


def test_own_waiting_is_counted_once(tmp_path: Path) -> None:
    own = tmp_path / "schedstat"
    own.write_text("5 1000000000 3\n")
    found = Clocks(own=own)
    own.write_text("5 1250000000 4\n")
    assert found.waited() == 0.25
    assert found.waited() == 0.0


def test_windows_that_touch_are_one() -> None:
    apart = (Window(0, 1), Window(5, 6))
    assert merged((Window(5, 6), Window(0.5, 1), Window(0, 0.7))) == apart
    assert merged([Window(0, 3), Window(1, 2), Window(3, 4)]) == (Window(0, 4),)
