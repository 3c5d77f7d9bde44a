# SPDX-License-Identifier: Apache-2.0
"""The gate of mutants: how one is put in place, and that its lists are of files that exist."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.mutation import lists
from tests.mutation.live import functions_of, put
from tests.mutation.mutant import Mutant

SOURCE = """
LIMIT = 3
TABLE = {"a": LIMIT}
class Old:
    bound = 7
    def over(self, n):
        return [m for m in n if m > LIMIT]
    @property
    def twice(self):
        return self.bound * 2
def inner(n):
    def deep():
        return n + 1
    return deep()
"""


@pytest.fixture
def module(tmp_path: Path) -> ModuleType:
    (tmp_path / "subject.py").write_text(SOURCE, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("subject", tmp_path / "subject.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules["subject"] = made
    spec.loader.exec_module(made)
    return made


def changed(was: str, now: str) -> Mutant:
    assert was in SOURCE
    return Mutant("id", "subject.py", 1, "", "", was, now, SOURCE, SOURCE.replace(was, now))


def placed(module: ModuleType, was: str, now: str) -> bool:
    root = Path(str(module.__file__)).parent
    functions = functions_of(root, {"subject.py"})["subject.py"]
    return put(root, changed(was, now), functions)


def test_a_function_is_changed_where_it_is_in_use(module: ModuleType) -> None:
    over = module.Old().over
    assert placed(module, "m > LIMIT", "m >= LIMIT")
    assert over([2, 3, 4]) == [3, 4]


def test_a_property_and_an_inner_function_are_changed(module: ModuleType) -> None:
    assert placed(module, "self.bound * 2", "self.bound * 3")
    assert module.Old().twice == 21
    assert placed(module, "n + 1", "n + 2")
    assert module.inner(1) == 3


def test_a_table_is_made_anew_with_those_made_of_it(module: ModuleType) -> None:
    other = ModuleType("other")
    other.TABLE = module.TABLE  # type: ignore[attr-defined]
    sys.modules["other"] = other
    assert placed(module, "LIMIT = 3", "LIMIT = 1")
    assert (module.LIMIT, module.TABLE, other.TABLE) == (1, {"a": 1}, {"a": 1})
    assert module.Old().over([2]) == [2]


def test_what_only_an_import_changes_is_refused(module: ModuleType) -> None:
    assert not placed(module, "bound = 7", "bound = 8")
    assert module.Old().bound == 7


def test_what_cannot_be_made_anew_says_so(module: ModuleType) -> None:
    with pytest.raises(ZeroDivisionError):
        placed(module, '{"a": LIMIT}', '{"a": 1 // 0}')


def test_the_lists_are_of_files_that_are_mutated() -> None:
    files = set(lists.files())
    assert set(lists.known_survivors()) <= files
    assert set(lists.unmeasured()) <= files
    assert {one.file for one in lists.equivalents().values()} <= files
    assert not set(lists.known_survivors()) & set(lists.unmeasured())


def test_the_tests_that_may_kill_a_mutant_exist() -> None:
    assert "tests/unit/test_verdict_judge.py" in lists.files_of_tests()
