# SPDX-License-Identifier: Apache-2.0
"""KUnit's results, as the kernel's debugfs has them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from lab.build import kconfig
from lab.errors import ConfigError
from lab.report.ktap_input import children_of
from lab.runner.kunit import FRAGMENT, NEEDED, run_kunit
from lab.runner.pool import Pool
from lab.ssh.session import Result
from tests.support.suite_hosts import Hosts, ended

RESULTS = {
    "kho": "KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: kho\n    1..2\n"
    "    # kho_preserve: ok 3 is said in passing\n    ok 1 kho_preserve\n"
    "    not ok 2 kho_restore\n# kho: pass:1 fail:1 skip:0 total:2\nnot ok 1 kho\n",
    # As before Linux 6.3.
    "list-test": "    # Subtest: list-test\n    1..1\n    ok 1 - list_add\nok 1 - list-test\n",
}


def answer(argv: Sequence[str]) -> Result:
    if argv[0] == "ls":
        return ended(out="\n".join(RESULTS))
    return ended(out=RESULTS[argv[1].split("/")[-2]])


def run(tmp_path: Path, only: str = "*", pool: Hosts | None = None) -> list[tuple[int, str, str]]:
    hosts, request = cast("Pool", pool or Hosts(answer)), cast("Any", _Request)
    text, _ = run_kunit(hosts, request, tmp_path, only=only)
    return [(c.depth, c.status, c.name) for c in children_of(text)]


class _Request:
    kernel = "mine"


def test_each_suite_is_read_with_its_cases(tmp_path: Path) -> None:
    assert run(tmp_path) == [
        (1, "ok", "kho_preserve"),
        (1, "not ok", "kho_restore"),
        (0, "not ok", "kho"),
        (1, "ok", "list_add"),
        (0, "ok", "list-test"),
    ]


def test_suites_are_chosen_by_a_glob(tmp_path: Path) -> None:
    assert run(tmp_path, "list*") == [(1, "ok", "list_add"), (0, "ok", "list-test")]
    with pytest.raises(ConfigError, match="no suite of KUnit matches --only=x"):
        run(tmp_path, "x")


def test_a_kernel_without_kunit_is_no_empty_pass(tmp_path: Path) -> None:
    pool = Hosts(lambda _: ended(2))
    with pytest.raises(ConfigError, match="'mine' shows no results of KUnit"):
        run(tmp_path, pool=pool)


@pytest.mark.parametrize("text", [FRAGMENT, NEEDED])
def test_what_shows_the_results_is_always_configured(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.config").write_text(text)
    symbols = {s.symbol for s in kconfig.read_fragments([tmp_path / "a.config"])}
    assert {"KUNIT", "DEBUG_FS", "KUNIT_DEBUGFS"} <= symbols
