# SPDX-License-Identifier: Apache-2.0
"""Evidence is judged from its file as it is from memory; a file that is damaged is told."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.errors import ConfigError
from lab.observe.trail import Trail
from lab.testing.simulated_guest import Rehearsal
from lab.verdict.problem import ProblemKind
from lab.verify import evidence_file
from lab.verify.case import judged
from lab.verify.evidence_file import OtherVersionError, load, save
from lab.verify.trail_part import TrailPart
from tests.support.evidence_files import any_case, case_of, public
from tests.support.guests_that_live_or_die import lives_on

SEEDS = range(40)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "beats.json.gz"
    save(path, case_of(lives_on(Rehearsal(2))))
    return path


@pytest.mark.parametrize("seed", SEEDS)
def test_any_case_is_judged_from_its_file_as_from_memory(seed: int, tmp_path: Path) -> None:
    case, path = any_case(seed), tmp_path / "e.json.gz"
    save(path, case)
    read = load(path)
    assert repr(judged(read)) == repr(judged(case))  # nan equals nothing
    bare = dataclasses.replace(case.evidence, trails={})
    assert repr(dataclasses.replace(read.evidence, trails={})) == repr(bare)
    for n, trail in case.evidence.trails.items():
        assert public(read.evidence.trails[n]) == public(trail)
    rest = {f.name for f in dataclasses.fields(case)} - {"evidence"}
    assert all(getattr(read, name) == getattr(case, name) for name in rest)


def test_random_cases_come_to_many_verdicts() -> None:
    found = {judged(any_case(seed)).verdict.check for seed in SEEDS}
    assert len(found) > len(SEEDS) / 5, found


def test_a_file_is_the_same_whenever_it_is_written(tmp_path: Path) -> None:
    case, paths = any_case(1), (tmp_path / "a", tmp_path / "b")
    for path in paths:
        save(path, case)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_every_public_attribute_of_a_trail_is_written() -> None:
    assert set(TrailPart.model_fields) == set(public(Trail(0, bytes(16), bytes(16))))


def test_evidence_that_is_not_linked_is_a_problem_of_the_lab() -> None:
    case = case_of(lives_on(Rehearsal()))
    case.evidence.trails[0].stamps[99] += 1
    (problem,) = judged(case).problems
    assert problem.kind is ProblemKind.FIGURES
    assert problem.reason.startswith("the evidence of vCPU 0 is not linked up to beat ")


def test_no_secret_of_a_console_is_in_a_file(tmp_path: Path) -> None:
    case = case_of(lives_on(Rehearsal()), facts={"said": f"beacon={'a1' * 16}:{'b2' * 16}"})
    save(tmp_path / "e", case)
    assert load(tmp_path / "e").facts == {"said": "beacon=[removed]"}


def _changed(path: Path, good: Path, change: Callable[[Any], object]) -> None:
    data = json.loads(gzip.decompress(good.read_bytes()))
    change(data)
    path.write_bytes(gzip.compress(json.dumps(data).encode()))


def _with(path: str, value: object) -> Callable[[Any], object]:
    def change(data: Any) -> None:
        *way, last = path.split(".")
        for part in way:
            data = data[part]
        data[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_with("evidence_version", 1), "written before evidence version 2"),
        (_with("evidence_version", 3), "written after evidence version 2"),
        (lambda d: (d.pop("evidence_version"), d.update(version=1)), "written before evidence"),
    ],
)
def test_a_file_of_another_version_is_said_to_be(
    change: Callable[[Any], object], says: str, good: Path, tmp_path: Path
) -> None:
    _changed(tmp_path / "e", good, change)
    with pytest.raises(OtherVersionError, match=says):
        load(tmp_path / "e")


def test_what_an_older_lab_did_not_know_was_not_known(good: Path, tmp_path: Path) -> None:
    _changed(tmp_path / "e", good, lambda d: d["known"].pop("tallies"))
    assert load(tmp_path / "e").evidence.tallies == ()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d["known"].pop("end"), "damaged: known.end: Field required"),
        (lambda d: d.pop("evidence_version"), "it has no evidence_version"),
        (lambda d: d.pop("known"), "damaged: known: Field required"),
        (_with("more", 1), "damaged: more: Extra inputs"),
        (_with("known.end", "soon"), "damaged: known.end"),
        (_with("known.expected_vcpus", 10**9), "no guest has more than 4096 vCPUs"),
        (_with("witness.kind", "Perhaps"), "damaged: witness.kind"),
        (_with("witness.reason", "so"), "damaged: witness: .*a Happened has"),
        (_with("trails.0.by", []), "not as many in each list"),
        (_with("trails.0.clear_began", []), "no beginning or no end"),
        (_with("trails.0.start", [0] * 216), "its batches are not as many|a batch has no beat"),
        (_with("trails.0.stamps", [-1]), "a batch has no beat|no number of 64 bits"),
        (_with("trails.0.anchors", {}), "its links are not of its batches"),
        (_with("trails.0.anchors", {"0": None, "-1": None}), "its links are not of its batches"),
        (_with("trails.0.links", [-1]), "damaged: trails.0.links.0"),
        (_with("beacon_key", "xyz"), "damaged: beacon_key"),
    ],
)
def test_a_file_that_makes_no_sense_is_damaged(
    change: Callable[[Any], object], says: str, good: Path, tmp_path: Path
) -> None:
    _changed(tmp_path / "e", good, change)
    with pytest.raises(ConfigError, match=says):
        load(tmp_path / "e")


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (lambda raw: raw[:-9], "cut short"),
        (lambda raw: raw[:7], "cut short"),
        (lambda raw: raw + b"more", "it has bytes after its end"),
        (lambda raw: raw + raw, "it has bytes after its end"),
        (lambda raw: raw[:40] + bytes([raw[40] ^ 255]) + raw[41:], "damaged: "),
        (lambda _: b"", "cut short"),
        (lambda _: b"{}", "damaged: "),
        (lambda _: gzip.compress(b"[" * 200_000), "damaged: "),
        (lambda _: gzip.compress(b"[]"), "no evidence_version"),
        (lambda _: gzip.compress(b"\xff"), "damaged: "),
        (lambda _: gzip.compress(bytes((1 << 20) + 1)), "more than 1048576 bytes"),
    ],
)
def test_a_file_of_other_bytes_is_damaged(
    raw: Callable[[bytes], bytes],
    says: str,
    good: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evidence_file, "_MOST", 1 << 20)
    path = tmp_path / "e"
    path.write_bytes(raw(good.read_bytes()))
    with pytest.raises(ConfigError, match=says) as e:
        load(path)
    assert str(path) in str(e.value)


def test_what_is_no_regular_file_is_not_read(good: Path, tmp_path: Path) -> None:
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(good)
    os.mkfifo(pipe)
    for path, says in (
        (link, "is a symbolic link"),
        (pipe, "no regular file"),
        (tmp_path, "no regular file"),
        (tmp_path / "none", "No such file"),
    ):
        with pytest.raises(ConfigError, match=says):
            load(path)
