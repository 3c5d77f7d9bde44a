# SPDX-License-Identifier: Apache-2.0
"""Which tests of a suite are run, by which list, and what the suite wants of the kernel."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lab.build import kconfig, selftests
from lab.build.cache import Cache
from lab.build.selftests import Selftests
from lab.cli import selftest_suites
from lab.cli.selftest import SelftestOptions
from lab.cli.selftest_cells import SelftestRequest, Suite
from lab.cli.selftest_suites import Prepared, chosen, listed_in, prepared, tell_what_is_lacking
from lab.config.load import load_lab, usual_toml
from lab.errors import ConfigError
from lab.events import Step, nowhere
from lab.runner.lab_session import LabSession

LAB = load_lab(usual_toml())
CACHE = cast("Cache", None)  # nothing is built
TESTS = [Path("one"), Path("two"), Path("three")]


def request(suite: Suite = Suite.KVM, **options: Any) -> SelftestRequest:
    return SelftestOptions(**options).request(suite, LAB, usual_toml())


def a_list(tmp_path: Path, text: str) -> Path:
    (tmp_path / "list").write_text(text)
    return tmp_path / "list"


def test_a_list_of_run_kselftest_names_what_is_run(tmp_path: Path) -> None:
    text = "# mine\nkvm:two # flaky\nliveupdate:liveupdate\n\nkvm:one\n"
    path = a_list(tmp_path, text)
    assert listed_in(path, "kvm") == ("two", "one")
    assert chosen(TESTS, request(list_file=path)) == (Path("one"), Path("two"))
    assert chosen(TESTS, request(list_file=path, only="t*")) == (Path("two"),)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("kvm:four\n", "suite kvm has no four"),
        ("kvm\n", ":1: expected 'suite:program', got 'kvm'"),
        ("liveupdate:a\n", "lists no program of suite kvm"),
    ],
)
def test_a_list_that_cannot_be_followed_is_an_error(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        chosen(TESTS, request(list_file=a_list(tmp_path, text)))


def test_nothing_chosen_is_an_error_that_names_what_there_is() -> None:
    with pytest.raises(ConfigError, match="no program of suite kvm matches --only=x") as e:
        chosen(TESTS, request(only="x"))
    assert e.value.hint == "there are: one, two, three"


@pytest.mark.parametrize(
    ("suite", "options", "why"),
    [
        (Suite.KVM, {"source": "x"}, "--source is for suite kvm-unit-tests, not kvm"),
        (Suite.KVM, {"kunitconfig": Path(__file__)}, "--kunitconfig is for suite kunit, not kvm"),
        (Suite.KVM_UNIT_TESTS, {}, "--source is missing"),
        (Suite.KVM, {"kernel": "debian"}, "'debian' was built elsewhere"),
        (Suite.KVM, {"kernel": "none"}, "no kernel 'none'"),
    ],
)
def test_a_suite_that_cannot_be_had_is_refused_at_once(
    suite: Suite, options: dict[str, Any], why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        prepared(LAB, request(suite, **options), CACHE, nowhere)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Selftests:
    (tmp_path / "config").write_text("CONFIG_KVM=y\nCONFIG_LIVEUPDATE_TEST=y\n")
    suite = Selftests("kvm", (Path("one"),), timeout_s=120, config=tmp_path / "config")
    monkeypatch.setattr(selftests, "build", lambda *_, **__: suite)
    return suite


def test_a_suites_config_is_merged_only_if_that_is_asked_for(made: Selftests) -> None:
    before = LAB.kernel["stock"].config
    assert prepared(LAB, request(), CACHE, nowhere).lab.kernel["stock"].config == before
    merged = prepared(LAB, request(merge_config=True), CACHE, nowhere).lab
    assert merged.kernel["stock"].config == (*before, made.config)
    assert merged.kernel["reference"] == LAB.kernel["reference"]


@pytest.mark.parametrize(("typed", "used"), [(None, 120.0), (7.0, 7.0)])
@pytest.mark.usefixtures("made")
def test_what_is_typed_wins_over_settings(
    monkeypatch: pytest.MonkeyPatch, typed: float | None, used: float
) -> None:
    seen: list[float] = []
    monkeypatch.setattr(
        selftest_suites, "run_selftests", lambda *args: seen.append(args[-1].timeout_s)
    )
    nothing = cast("Any", None)
    prepared(LAB, request(timeout_s=typed), CACHE, nowhere).run(nothing, nothing, Path())
    assert seen == [used]


def test_what_the_kernel_lacks_of_it_is_told(made: Selftests, tmp_path: Path) -> None:
    (tmp_path / "kernel-config").write_text("CONFIG_KVM=y\n")
    said: list[object] = []
    kernel = SimpleNamespace(config=tmp_path / "kernel-config")
    session = cast(
        "LabSession",
        SimpleNamespace(sink=said.append, images=SimpleNamespace(kernel=lambda *_: kernel)),
    )
    nothing = cast("Any", None)
    tell_what_is_lacking(Prepared(LAB, nothing, made), request(), session)
    (step,) = said
    assert isinstance(step, Step)
    assert step.what == (
        "kernel stock lacks 1 lines of the config of suite kvm: "
        "CONFIG_LIVEUPDATE_TEST=y; --merge-config builds it with them"
    )
    (tmp_path / "kernel-config").write_text("CONFIG_KVM=y\nCONFIG_LIVEUPDATE_TEST=y\n")
    tell_what_is_lacking(Prepared(LAB, nothing, made), request(), session)
    assert len(said) == 1


@pytest.mark.parametrize("own", [None, "CONFIG_KASAN_KUNIT_TEST=y\n"])
def test_kunit_is_built_into_the_kernel_under_test(tmp_path: Path, own: str | None) -> None:
    cache = Cache(tmp_path / "cache")
    path = None
    if own:
        path = tmp_path / ".kunitconfig"
        path.write_text(own)
    wanted = prepared(LAB, request(Suite.KUNIT, kunitconfig=path), cache, nowhere)
    (fragment,) = wanted.lab.kernel["stock"].config
    symbols = {s.symbol for s in kconfig.read_fragments([fragment])}
    assert ("KUNIT_ALL_TESTS" in symbols) is (own is None)
    assert ("KASAN_KUNIT_TEST" in symbols) is (own is not None)


def test_rerun_has_all_that_was_typed(tmp_path: Path) -> None:
    asked = request(
        Suite.KVM_UNIT_TESTS, list_file=a_list(tmp_path, "a:b"), source="u#r", merge_config=True
    )
    words = set(shlex.split(asked.typed))
    assert {f"--list={tmp_path}/list", "--source=u#r", "--merge-config"} <= words
    assert not [word for word in words if word.startswith("--timeout-s")]
    assert "--kunitconfig=c" in dataclasses.replace(asked, kunitconfig=Path("c")).typed
