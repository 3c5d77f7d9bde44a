# SPDX-License-Identifier: Apache-2.0
"""The cache: built once, by one of many, and nothing left of builders that died."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from lab.build.cache import Cache, digest_of, standard
from lab.build.commands import output
from lab.deadline import Deadline, until
from lab.errors import ConfigError, InfraError
from lab.events import Event, Progress, Step, nowhere

BUILDER = """
import subprocess, sys
from pathlib import Path
from lab.build.cache import Cache
from lab.build.commands import output
from lab.events import nowhere

root, begun, command = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]

def build(out):
    (out / "half").write_text("half")
    begun.touch()
    output(command, doing="building")

Cache(root).entry("thing", {"n": 1}, build, what="a thing", usually_s=1, sink=nowhere)
"""


def put(cache: Cache, n: int = 1, text: str = "whole", **inputs: str) -> Path:
    def build(out: Path) -> None:
        (out / "file").write_text(text)

    return cache.entry(
        "thing", {"n": n, **inputs}, build, what="a thing", usually_s=1, sink=nowhere
    )


@contextmanager
def building(root: Path, begun: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that has begun to build the thing, and is at `command`."""
    line = [sys.executable, "-c", BUILDER, str(root), str(begun), *command]
    with subprocess.Popen(line) as process:
        until("the other builder", lambda: begun.exists() or None, Deadline.after(30))
        yield process


def test_what_is_there_is_not_built_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    first = put(cache, text="first")
    assert put(cache, text="second") == first
    assert (first / "file").read_text() == "first"
    assert first.name == digest_of({"n": 1})


def test_other_inputs_are_another_artifact(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert put(cache, 1) != put(cache, 2)


def test_a_build_is_told_with_how_long_it_usually_takes(tmp_path: Path) -> None:
    told: list[Event] = []
    cache = Cache(tmp_path)
    cache.entry("thing", {}, lambda _: None, what="a thing", usually_s=7, sink=told.append)
    assert [(e.done, e.total, e.usually) for e in told if isinstance(e, Progress)] == [
        (0, 1, 7),
        (1, 1, 7),
    ]


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def build(out: Path) -> None:
        (out / "half").touch()
        raise InfraError("no")

    cache = Cache(tmp_path)
    with pytest.raises(InfraError, match="no"):
        cache.entry("thing", {}, build, what="a thing", usually_s=1, sink=nowhere)
    assert [path for path in (tmp_path / "thing").iterdir() if path.is_dir()] == []


def test_what_a_killed_builder_left_is_removed_by_the_next(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    with building(tmp_path / "cache", begun, "sleep", "0.2") as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
    cache, numbers = Cache(tmp_path / "cache"), count(2)

    def swept() -> bool | None:
        put(cache, next(numbers))  # each build sweeps
        return not list(cache.root.glob("thing/.building-*")) or None

    until("the half-built folder to go", swept, Deadline.after(10))


def test_a_builder_waits_for_children_of_a_killed_one(tmp_path: Path) -> None:
    """The child still writes; to remove the folder under it would be a race."""
    begun = tmp_path / "begun"
    told: list[Event] = []
    cache = Cache(tmp_path / "cache")
    with building(cache.root, begun, "sleep", "1") as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
        before = os.times().elapsed
        cache.entry(
            "thing", {"n": 1}, lambda _: None, what="a thing", usually_s=1, sink=told.append
        )
        assert os.times().elapsed - before > 0.5
    assert isinstance(told[0], Step)
    assert told[0].what == "waiting for another lab that builds a thing"


def test_a_builders_lock_leaves_its_children_the_low_descriptors(tmp_path: Path) -> None:
    """The shell of mmdebstrap counts to 9, and redirects to what comes next."""

    def inherited() -> set[int]:
        listing = [sys.executable, "-c", "import os; print(*os.listdir('/proc/self/fd'))"]
        return {int(fd) for fd in output(listing, doing="looking").split()}

    usual, building = inherited(), set[int]()
    cache = Cache(tmp_path)
    cache.entry(
        "thing",
        {"n": 1},
        lambda _: building.update(inherited()),
        what="a thing",
        usually_s=1,
        sink=nowhere,
    )
    assert building - usual, "it holds no lock"
    assert min(building - usual) >= 100


def test_two_labs_build_a_thing_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    with building(cache.root, tmp_path / "begun", "sleep", "0.5") as other:
        path = put(cache, 1, "built twice")
        assert other.wait() == 0
    assert not (path / "file").exists()
    assert (path / "half").read_text() == "half"


def test_artifacts_can_be_read_by_the_user_that_qemu_runs_as(tmp_path: Path) -> None:
    def build(out: Path) -> None:
        (out / "program").touch(mode=0o700)
        (out / "image").touch(mode=0o600)

    before = os.umask(0o077)
    try:
        path = Cache(tmp_path / "cache").entry(
            "thing", {}, build, what="a thing", usually_s=1, sink=nowhere
        )
    finally:
        os.umask(before)
    modes = {
        p.name: stat.S_IMODE(p.stat().st_mode)
        for p in (path, path.parent, path.parent.parent, path / "program", path / "image")
    }
    assert set(modes.values()) == {0o755, 0o644}
    assert modes["image"] == 0o644


def test_a_disk_that_is_too_full_is_said_before_the_build(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match=r"a thing needs 1000000000 MiB, and .* MiB free"):
        Cache(tmp_path).entry(
            "thing",
            {},
            lambda _: pytest.fail("built"),
            what="a thing",
            usually_s=1,
            sink=nowhere,
            needs_mib=10**9,
        )


def test_clear_removes_what_nobody_builds(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    path = put(cache, 2, "x" * 100_000)
    with building(cache.root, tmp_path / "begun", "sleep", "0.5") as other:
        assert cache.size() >= 100_000
        assert cache.clear() >= 100_000
        assert not path.exists()
        assert other.wait() == 0
    assert (path.parent / digest_of({"n": 1}) / "half").exists()


def test_the_cache_is_where_it_is_asked_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.delenv("LAB_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert standard().root == tmp_path / "xdg/caretaker-lab"
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "env"))
    assert standard().root == tmp_path / "env"
    assert standard(tmp_path / "given").root == tmp_path / "given"


def test_a_cache_that_qemu_could_not_reach_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    (tmp_path / "closed").mkdir(mode=0o700)
    with pytest.raises(ConfigError, match=r"cannot pass .*mode 07"):
        standard(tmp_path / "closed/cache")
