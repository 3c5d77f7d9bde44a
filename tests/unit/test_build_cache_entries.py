# SPDX-License-Identifier: Apache-2.0
"""What the cache has, why, and whether it is whole, by its manifests; carried in a file, too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from lab.build import cache_bundle
from lab.build.cache import MIB, Cache, Value, digest_of
from lab.build.cache_entries import damage, entries, find, to_prune
from lab.build.cache_keys import MANIFEST, differences, nearest, why_made
from lab.errors import ConfigError
from lab.events import Event, Step, nowhere

HOUR, DAY = 3600.0, 86400.0


def put(
    cache: Cache, kind: str = "thing", *, size: int = 10, files: int = 1, **inputs: Value
) -> Path:
    def build(out: Path) -> None:
        for number in range(files):
            (out / "deep").mkdir(exist_ok=True)
            (out / "deep" / f"{number}").write_bytes(b"x" * size)

    return cache.entry(kind, inputs, build, what=f"{kind} {inputs}", usually_s=1, sink=nowhere)


def idle(path: Path, seconds: float) -> None:
    then = (path / MANIFEST).stat().st_mtime - seconds
    os.utime(path / MANIFEST, (then, then))


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def test_why_names_each_input_that_differs_and_how() -> None:
    before = {
        "a": 1,
        "same": 0,
        "files": {"x": "1", "gone": "2"},
        "wishes": ["A", "B"],
        "t": [1, 2],
    }
    after = {"a": 2, "same": 0, "files": {"x": "3", "new": "4"}, "wishes": ["B", "C"], "t": [2, 1]}
    assert differences(before, after) == (
        "a: 1 -> 2",
        "files.gone: no more",
        "files.new: added, '4'",
        "files.x: '1' -> '3'",
        "t: another order",
        "wishes: without 'A' and with 'C'",
    )
    assert differences(after, after) == ()


def test_the_nearest_key_differs_in_the_fewest_inputs(cache: Cache) -> None:
    far, near = put(cache, a=1, b=1, c=1), put(cache, a=2, b=2, c=1)
    found = nearest(far.parent, {"a": 2, "b": 2, "c": 2})
    assert found is not None
    assert found[0] == near
    assert nearest(far.parent, {"a": 2, "b": 2, "c": 1}) == (
        far, json.loads((far / MANIFEST).read_text())
    )  # fmt: skip
    assert nearest(cache.root / "other", {}) is None


def test_of_two_that_are_as_near_the_newest_is_taken(cache: Cache) -> None:
    paths = [put(cache, n=n) for n in (1, 2, 3)]
    for path, made in zip(paths, ("2026-01", "2026-03", "2026-02"), strict=True):
        facts = json.loads((path / MANIFEST).read_text())
        (path / MANIFEST).write_text(json.dumps({**facts, "made": made}))
    found = nearest(paths[0].parent, {"n": 4})
    assert found is not None
    assert found[0] == paths[1]


def test_whatever_is_made_says_why(cache: Cache) -> None:
    told: list[Event] = []
    for n in (1, 2, 2):
        cache.entry("thing", {"n": n}, lambda _: None, what="it", usually_s=1, sink=told.append)
    steps = [event.what for event in told if isinstance(event, Step)]
    assert steps == [
        "it is made: there is none yet",
        f"it is made: unlike {digest_of({'n': 1})}: n: 1 -> 2",
    ]


def test_a_manifest_that_cannot_be_read_is_passed_over(cache: Cache) -> None:
    good, bad = put(cache, n=1), put(cache, n=2)
    (bad / MANIFEST).write_text("{")
    assert [entry.path for entry in entries(cache)] == [good]
    assert why_made(good.parent, {"n": 3}).startswith(f"unlike {good.name}: ")


def test_use_makes_an_artifact_young_again(cache: Cache) -> None:
    path = put(cache, n=1)
    idle(path, 5 * DAY)
    assert entries(cache)[0].idle_s >= 5 * DAY
    assert cache.existing("thing", {"n": 1}) == path
    assert entries(cache)[0].idle_s < HOUR
    idle(path, 5 * DAY)
    put(cache, n=1)
    assert entries(cache)[0].idle_s < HOUR


def test_prune_takes_what_is_old_and_never_what_was_just_used(cache: Cache) -> None:
    for n, seconds in enumerate((10 * DAY, 3 * DAY, 2 * HOUR, 60.0)):
        idle(put(cache, n=n), seconds)
    there = entries(cache)
    assert [e.facts["inputs"]["n"] for e in to_prune(there, idle_s=3 * DAY)] == [0, 1]
    assert [e.facts["inputs"]["n"] for e in to_prune(there, idle_s=0)] == [0, 1, 2]
    assert to_prune(there) == ()


def test_prune_by_size_takes_the_longest_unused_until_it_fits(cache: Cache) -> None:
    for n in range(3):
        idle(put(cache, n=n, size=MIB), (9 - n) * DAY)
    there = entries(cache)
    keep = there[0].size * 2
    assert [e.facts["inputs"]["n"] for e in to_prune(there, keep_bytes=keep)] == [0]
    assert [e.facts["inputs"]["n"] for e in to_prune(there, keep_bytes=keep - 1)] == [0, 1]
    assert to_prune(there, keep_bytes=keep * 2) == ()


def test_what_is_being_built_is_not_discarded(cache: Cache) -> None:
    path = put(cache, n=1)
    code = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); print(); input()"
    lock = path.parent / f".{path.name}.lock"
    with subprocess.Popen(
        [sys.executable, "-u", "-c", code, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert not cache.discard(path)
        assert path.exists()
        other.communicate(b"\n")
    assert cache.discard(path)
    assert not path.exists()
    assert [p.name for p in path.parent.iterdir()] == [f".{path.name}.lock"]


@pytest.mark.parametrize("files", [1, 100])
def test_verify_sees_what_was_changed_added_or_lost(cache: Cache, files: int) -> None:
    path = put(cache, n=1, files=files)
    (entry,) = entries(cache)
    assert damage(entry) is None
    file = path / "deep/0"
    file.write_bytes(b"y" * 11)
    assert damage(entry) == ("'deep/0' has changed" if files == 1 else "'*' has changed")
    file.write_bytes(b"x" * 10)
    (path / "more").touch()
    assert damage(entry) == ("'more' was added" if files == 1 else "'*' has changed")
    (path / "more").unlink()
    file.unlink()
    assert damage(entry) == ("'deep/0' is missing" if files == 1 else "'*' has changed")


def test_verify_sees_inputs_that_are_not_those_of_the_key(cache: Cache) -> None:
    path = put(cache, n=1)
    facts = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps({**facts, "inputs": {"n": 2}}))
    assert damage(entries(cache)[0]) == f"its inputs make key {digest_of({'n': 2})}"


def test_what_was_made_before_digests_were_noted_is_not_damaged(cache: Cache) -> None:
    path = put(cache, n=1)
    facts = json.loads((path / MANIFEST).read_text())
    del facts["files"]
    (path / MANIFEST).write_text(json.dumps(facts))
    assert damage(entries(cache)[0]) is None


def test_an_artifact_is_found_by_what_a_user_types(cache: Cache) -> None:
    one, two = put(cache, "a", n=1), put(cache, "b", n=2)
    assert find(cache, one.name[:6]).path == one
    assert find(cache, f"b/{two.name}").path == two
    assert find(cache, "a").path == one
    with pytest.raises(ConfigError, match="there is no artifact 'zz'"):
        find(cache, "zz")
    put(cache, "b", n=3)
    with pytest.raises(ConfigError, match="'b' are 2 artifacts") as caught:
        find(cache, "b")
    assert f"b/{two.name}" in str(caught.value)


def exported(cache: Cache, file: Path) -> Path:
    cache_bundle.export(cache, entries(cache), file)
    return file


def test_an_export_brings_what_is_missing_and_leaves_the_rest(cache: Cache, tmp_path: Path) -> None:
    one, many = put(cache, "a", n=1), put(cache, "b", n=2, files=100)
    (many / "deep" / "link").symlink_to("0")
    file = exported(cache, tmp_path / "x.tar.zst")
    other = Cache(tmp_path / "other")
    put(other, "a", n=1)
    assert cache_bundle.bring(other, file) == (1, 1)
    assert [(e.kind, e.path.name) for e in entries(other)] == [("a", one.name), ("b", many.name)]
    assert [damage(e) for e in entries(other)] == [None, None]
    assert (other.root / "b" / many.name / "deep/link").readlink() == Path("0")
    assert not list(other.root.glob(".import-*"))
    assert cache_bundle.bring(other, file) == (0, 2)


def test_nothing_comes_from_an_export_of_which_a_part_is_damaged(
    cache: Cache, tmp_path: Path
) -> None:
    put(cache, "a", n=1)
    (put(cache, "b", n=2) / "deep/0").write_text("other")
    file = exported(cache, tmp_path / "x")
    other = Cache(tmp_path / "other")
    with pytest.raises(ConfigError, match="'deep/0' has changed") as caught:
        cache_bundle.bring(other, file)
    assert str(caught.value).startswith(f"'{file}' is damaged: b/")
    assert entries(other) == ()


@pytest.mark.parametrize("how", ["cut", "text", "tar", "none"])
def test_what_is_no_export_is_refused_and_named(cache: Cache, tmp_path: Path, how: str) -> None:
    put(cache, size=100_000, n=1)
    file = tmp_path / "x"
    match how:
        case "cut":
            exported(cache, file)
            file.write_bytes(file.read_bytes()[:-20])
        case "text":
            file.write_text("hello")
        case "tar":
            pack = ["tar", "-cf", str(file), "--use-compress-program=zstd", "-C", str(cache.root)]
            subprocess.run([*pack, "thing"], check=True)
        case _:
            pass
    with pytest.raises(ConfigError, match=f"'{file}' is no"):
        cache_bundle.bring(Cache(tmp_path / "other"), file)


def test_an_empty_cache_and_a_missing_folder_are_said(cache: Cache, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to export"):
        exported(cache, tmp_path / "x")
    put(cache, n=1)
    with pytest.raises(ConfigError, match="there is no folder"):
        exported(cache, tmp_path / "no/x")


def test_a_cache_that_others_may_write_keeps_that(cache: Cache) -> None:
    cache.root.mkdir(mode=0o755)
    cache.root.chmod(0o3775)
    path = put(cache, n=1)
    assert path.parent.stat().st_mode & 0o7777 == 0o3775
    assert (path.parent / f".{path.name}.lock").stat().st_mode & 0o777 == 0o666
    assert path.stat().st_mode & 0o777 == 0o755


def test_a_cache_of_ones_own_is_not_opened_to_others(cache: Cache) -> None:
    path = put(cache, n=1)
    assert path.parent.stat().st_mode & 0o7777 == 0o755
    assert (path.parent / f".{path.name}.lock").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_two_users_share_a_cache() -> None:
    """A child without root's rights reads root's artifacts, and builds where that is allowed."""
    with tempfile.TemporaryDirectory(prefix="lab-test-") as folder:
        Path(folder).chmod(0o755)
        _shared(Cache(Path(folder) / "cache"))


def _shared(cache: Cache) -> None:
    path = put(cache, n=1)

    def as_another(n: int) -> str:
        if (child := os.fork()) == 0:
            status = 9
            try:
                os.setgid(65534)
                os.setuid(65534)
                put(Cache(cache.root), n=n)
                status = 0
            except ConfigError as e:
                status = 2 if "can write" in str(e) else 3
            finally:
                os._exit(status)
        return {0: "there", 2: "refused"}[os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]

    assert as_another(1) == "there"
    assert as_another(2) == "refused"
    for folder in (cache.root, path.parent):
        folder.chmod(0o1777)
    assert as_another(2) == "there"
    assert put(cache, n=2).owner() == "nobody"
