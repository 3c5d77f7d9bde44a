# SPDX-License-Identifier: Apache-2.0
"""Shards that are merged are the run of one machine; what is not all of one run is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.cli.app import main
from lab.history.store import NAME, opened
from lab.record.classify import exit_status
from lab.record.files import load
from lab.record.shards import assemble
from lab.verify import manifest
from lab.verify.run import verify
from tests.support.sharded_toy import Toy, without_times

OF = 4


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    return Toy(tmp_path_factory.mktemp("sharded"))


@pytest.fixture(scope="module")
def parts(toy: Toy) -> list[Path]:
    return toy.shards(OF)


@pytest.fixture
def own(parts: list[Path], tmp_path: Path) -> list[Path]:
    """Return shards that a test may change."""
    return [Path(shutil.copytree(part, tmp_path / "parts" / part.name)) for part in parts]


def merged(toy: Toy, folders: list[Path], reports: Path, *words: str) -> int:
    toml = ["--lab-toml", str(toy.folder / "lab.toml")]
    return main([*toml, "merge", *map(str, folders), f"--reports={reports}", *words])


def sealed(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the header of a shard, and seal it as if it had ended so."""
    header = json.loads((folder / "header.json").read_text(encoding="utf-8"))
    change(header)
    (folder / "header.json").write_text(json.dumps(header), encoding="utf-8")
    manifest.seal(folder, assemble(folder))


def test_four_shards_merged_equal_one_run(toy: Toy, parts: list[Path], tmp_path: Path) -> None:
    whole = load(toy.run("whole"))
    assert exit_status(whole) == merged(toy, parts, tmp_path, "--run-id=one") == 1
    (folder,) = tmp_path.glob("2*-one")
    found = load(folder)
    assert len(found.cells) == 22
    for cell, other in zip(whole.cells, found.cells, strict=True):
        assert cell == other
    assert without_times(found) == without_times(whole)
    assert {c.outcome for c in found.cells} == {"passed", "failed", "error"}
    for cell in found.cells:
        said = (folder / cell.evidence / "console.log").read_text(encoding="utf-8")
        assert said == f"the console of {cell.key}"


def test_a_merged_run_says_of_what_it_was_merged(
    toy: Toy, parts: list[Path], tmp_path: Path
) -> None:
    merged(toy, parts[::-1], tmp_path)  # in any order
    (folder,) = tmp_path.glob("2*")
    found = load(folder)
    shards = [load(part) for part in parts]
    assert [each.index for each in found.merged_from] == [1, 2, 3, 4]
    assert [each.run_id for each in found.merged_from] == [each.run_id for each in shards]
    assert [each.root for each in found.merged_from] == [manifest.load(p).root for p in parts]
    assert found.started == min(each.started for each in shards)
    assert found.ended == max(each.ended for each in shards if each.ended)
    names = [name for each in found.merged_from for name in each.names]
    assert sorted(names) == sorted([*(c.key for c in found.cells), *(c.id for c in found.checks)])
    assert not verify(folder).differs
    assert sorted(p.name for p in (folder / "environment").iterdir()) == [
        f"shard{n}-main.json" for n, part in enumerate(parts, 1) if any((part / "cells").iterdir())
    ]


def test_only_the_merged_run_enters_the_history(
    toy: Toy, parts: list[Path], tmp_path: Path
) -> None:
    merged(toy, parts, tmp_path, "--run-id=entered")
    with opened(toy.folder / "state" / NAME) as book:
        runs = {run.run_id for run in book.runs()}
    assert "entered" in runs
    assert not {f"shard{n}" for n in range(1, OF + 1)} & runs


def test_a_shard_is_a_part_and_says_so(parts: list[Path]) -> None:
    for n, part in enumerate(parts, 1):
        plan = load(part).plan
        assert plan is not None
        assert plan.asked == f"--lab-shard={n}/{OF}"
        assert "not a verdict on the whole" in plan.part


def _drop_evidence(folders: list[Path]) -> None:
    path = next(part for part in folders[2].glob("evidence/*/console.log"))
    path.write_text("another", encoding="utf-8")


def _no_end(folders: list[Path]) -> None:
    (folders[1] / manifest.NAME).unlink()


def _other_kernel(folders: list[Path]) -> None:
    for path in folders[3].glob("environment/*.json"):
        text = path.read_text(encoding="utf-8").replace('"b1"', '"b2"')
        path.write_text(text, encoding="utf-8")
    sealed(folders[3], lambda _: None)


def _not_its_own(folders: list[Path]) -> None:
    path = next(folders[0].glob("cells/*.json"))
    shutil.copy(path, folders[1] / "cells" / path.name)
    sealed(folders[1], lambda _: None)


def _both_have_it(folders: list[Path]) -> None:
    first = json.loads((folders[0] / "header.json").read_text(encoding="utf-8"))["planned"][0]
    sealed(folders[1], lambda header: header["planned"].append(first))


def _whole(key: str, value: object) -> Callable[[list[Path]], None]:
    return lambda folders: sealed(
        folders[2], lambda header: header["shard"]["whole"].update({key: value})
    )


def _header(change: Callable[[dict[str, Any]], object]) -> Callable[[list[Path]], None]:
    return lambda folders: sealed(folders[2], change)


CASES: dict[str, tuple[Callable[[list[Path]], object], str]] = {
    "missing": (lambda folders: folders.pop(2), "1 of 4 shards is missing: 3/4"),
    "two missing": (lambda folders: folders.__delitem__(slice(1, 3)), "missing: 2/4, 3/4"),
    "twice": (lambda folders: folders.append(folders[0]), "shard 1/4 is there 2 times"),
    "another commit": (
        _whole("lab_commit", "c0ffee"), "are not of one run: the lab's commit was"
    ),
    "another code": (_whole("lab_source", "0" * 64), "the lab's code was"),
    "other durations": (_whole("durations", "0" * 64), "the learned durations"),
    "other limits": (_whole("limits", {}), "[watch] and [patience] of lab.toml differ in"),
    "another ladder": (_whole("names", ["x"]), "the tests of the whole run differ"),
    "must run": (_whole("must_run", []), "the cells that have to be judged differ"),
    "another tier": (_header(lambda h: h.update(tier="soak")), "the tier was ci in one, soak in"),
    "of five": (_header(lambda h: h["shard"].update(of=5)), "how many shards there are was 4"),
    "another lab": (_header(lambda h: h["versions"].update(lab="9")), "versions.lab was"),
    "no shard": (_header(lambda h: h.update(shard=None)), "is no shard but a whole run"),
    "in no shard": (_header(lambda h: h.update(checks_planned=[], planned=h["planned"][1:])),
                    "which is not its own"),
    "another kernel": (_other_kernel, "kernel stock x86_64, by build id, was b1 in one, b2 in"),
    "changed": (_drop_evidence, "console.log was changed since the run ended"),
    "killed": (_no_end, "it did not end, or is no run"),
    "not its own": (_not_its_own, "which is not its own"),
    "two have it": (_both_have_it, "is in shard 1 and in 2"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_not_all_of_one_run_is_one_error(
    toy: Toy, own: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    change, says = CASES[case]
    change(own)
    assert merged(toy, own, tmp_path / "reports") == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("lab: ") == 1
    assert not list((tmp_path / "reports").glob("2*"))


def test_a_test_that_no_shard_has_is_told(
    toy: Toy, own: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in own:
        sealed(folder, lambda header: header["shard"]["whole"]["names"].append("lost"))
    assert merged(toy, own, tmp_path / "reports") == 2
    assert "1 tests are in no shard: lost" in capsys.readouterr().err


def test_an_id_that_cannot_be_taken_is_refused(
    toy: Toy, parts: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    merged(toy, parts, tmp_path, "--run-id=one")
    assert merged(toy, parts, tmp_path, "--run-id=one") == 2
    assert "is another run of that id" in capsys.readouterr().err
    assert merged(toy, parts, tmp_path, "--run-id=no/id") == 2
    assert "'no/id' is no id of a run" in capsys.readouterr().err
