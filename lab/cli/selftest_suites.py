# SPDX-License-Identifier: Apache-2.0
"""What `lab selftest` runs: a suite of the kernel's tree, its KUnit, or kvm-unit-tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol, TypeVar

from lab.build import kvm_unit_tests, selftests
from lab.build.cache import Cache
from lab.build.recipes import recipe_of
from lab.build.suite_files import lacking
from lab.build.supply import Supply
from lab.cli.selftest_cells import SelftestRequest, Suite
from lab.config.host_request import HostRequest
from lab.config.model import KernelSpec, LabConfig, Prebuilt
from lab.errors import ConfigError
from lab.events import Sink, Step
from lab.runner.kunit import FRAGMENT, NEEDED, run_kunit
from lab.runner.lab_session import LabSession
from lab.runner.pool import Pool
from lab.runner.selftest import HowToRun, run_selftests
from lab.runner.unit_tests import run_unit_tests

_USUALLY_S = 60.0  # for a program of a suite without `settings`
_UNIT_TEST_S = 90.0  # as kvm-unit-tests has it
_SHOWN = 10  # of what a kernel lacks

Run = Callable[[Pool, HostRequest, Path], tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A suite that can be run.

    Attributes:
        lab: The lab, whose kernel under test has what the suite wants of it, where that is merged.
        run: Runs it on a host; its KTAP, and the first complaint of the host's kernel.
        config: What it wants of a kernel's configuration; None if it does not say.
    """

    lab: LabConfig
    run: Run
    config: selftests.Selftests | None = None


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_Test = TypeVar("_Test", bound=_Named)


def prepared(lab: LabConfig, request: SelftestRequest, cache: Cache, sink: Sink) -> Prepared:
    """Build the suite that was asked for, and choose what is run of it.

    Args:
        lab: What lab.toml says.
        request: What was asked for.
        cache: Where it is cached.
        sink: Receives the steps.

    Returns:
        The suite.

    Raises:
        ConfigError: There is no such kernel, suite or program.
        InfraError: It does not compile.
    """
    name = request.tested.kernel
    if name not in lab.kernel:
        known = ", ".join(lab.kernel)
        raise ConfigError(f"lab.toml: no kernel {name!r}", hint=f"there are: {known}")
    for option, value, suite in (
        ("--source", request.source, Suite.KVM_UNIT_TESTS),
        ("--kunitconfig", request.kunitconfig, Suite.KUNIT),
    ):
        if value and request.suite is not suite:
            raise ConfigError(f"{option} is for suite {suite.value}, not {request.suite.value}")
    match request.suite:
        case Suite.KUNIT:
            return _kunit(lab, request, cache)
        case Suite.KVM_UNIT_TESTS:
            return _unit_tests(lab, request, cache, sink)
        case _:
            return _selftests(lab, request, cache, sink)


def tell_what_is_lacking(suite: Prepared, request: SelftestRequest, session: LabSession) -> None:
    """Report which lines of the suite's `config` the kernel under test does not have.

    Args:
        suite: The suite.
        request: What was asked for.
        session: Has the kernel, which is built if it is not cached.
    """
    wanted = suite.config.settings if suite.config else ()
    config = session.images.kernel(request.tested.kernel, request.arch).config
    if not wanted or config is None:
        return
    lines = lacking(wanted, config.read_text(encoding="utf-8"))
    if lines:
        named = ", ".join(lines[:_SHOWN]) + (", ..." if len(lines) > _SHOWN else "")
        session.sink(
            Step(
                what=f"kernel {request.tested.kernel} lacks {len(lines)} lines of the config of "
                f"suite {request.suite.value}: {named}; --merge-config builds it with them"
            )
        )


def chosen(tests: Sequence[_Test], request: SelftestRequest) -> tuple[_Test, ...]:
    """Choose tests by --only, and by --list.

    Args:
        tests: All of the suite.
        request: What was asked for.

    Returns:
        Those that are run, in the suite's order.

    Raises:
        ConfigError: None matches, or the list names one that the suite does not have.
    """
    found = tuple(t for t in tests if fnmatchcase(t.name, request.only))
    if request.list_file:
        listed = listed_in(request.list_file, request.suite.value)
        known = {t.name for t in tests}
        if unknown := [name for name in listed if name not in known]:
            raise ConfigError(
                f"{request.list_file}: suite {request.suite.value} has no {', '.join(unknown)}",
                hint=f"there are: {', '.join(sorted(known))}",
            )
        found = tuple(t for t in found if t.name in listed)
    if not found:
        raise ConfigError(
            f"no program of suite {request.suite.value} matches --only={request.only}",
            hint=f"there are: {', '.join(t.name for t in tests)}",
        )
    return found


def listed_in(path: Path, suite: str) -> tuple[str, ...]:
    """Read the tests of one suite out of a list as run_kselftest.sh has it.

    Args:
        path: The list: "suite:program" a line; comments begin with "#".
        suite: The suite.

    Returns:
        The programs' names.

    Raises:
        ConfigError: A line has no suite, or none is of this suite.

    Source: kselftest-list.txt, and tools/testing/selftests/run_kselftest.sh --list.
    """
    names: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text = line.partition("#")[0].strip()
        of, colon, name = text.partition(":")
        if text and not (colon and of and name):
            raise ConfigError(f"{path}:{number}: expected 'suite:program', got {text!r}")
        if of == suite:
            names.append(name)
    if not names:
        raise ConfigError(f"{path} lists no program of suite {suite}")
    return tuple(names)


def _selftests(lab: LabConfig, request: SelftestRequest, cache: Cache, sink: Sink) -> Prepared:
    name = request.tested.kernel
    spec = lab.kernel[name]
    if isinstance(spec.source, Prebuilt):
        raise ConfigError(
            f"kernel {name!r} was built elsewhere, and has no source tree with selftests",
            hint="name a kernel that is built from source",
        )
    recipe = recipe_of(name, spec, request.arch, supply=Supply.of(lab))
    made = selftests.build(recipe, request.suite.value, request.arch.value, cache, sink=sink)
    some = chosen((*made.programs, *made.staged), request)
    made = made.only(some)
    how = HowToRun(request.timeout_s or made.timeout_s or _USUALLY_S, request.env)
    if request.merge_config and made.config:
        lab = _with_config(lab, name, spec, made.config)

    def run(pool: Pool, on: HostRequest, evidence: Path) -> tuple[str, str]:
        return run_selftests(pool, on, made, evidence, how)

    return Prepared(lab, run, made)


def _kunit(lab: LabConfig, request: SelftestRequest, cache: Cache) -> Prepared:
    name = request.tested.kernel
    spec = lab.kernel[name]
    if not isinstance(spec.source, Prebuilt):
        own = request.kunitconfig
        text = NEEDED + own.read_text(encoding="utf-8") if own else FRAGMENT
        fragment = cache.folder("kunit") / f"{name}.kunitconfig"
        fragment.write_text(text, encoding="utf-8")
        lab = _with_config(lab, name, spec, fragment)
    elif request.kunitconfig:
        raise ConfigError(f"kernel {name!r} was built elsewhere: --kunitconfig has no effect")

    def run(pool: Pool, on: HostRequest, evidence: Path) -> tuple[str, str]:
        return run_kunit(pool, on, evidence, only=request.only)

    return Prepared(lab, run)


def _unit_tests(lab: LabConfig, request: SelftestRequest, cache: Cache, sink: Sink) -> Prepared:
    if not request.source:
        raise ConfigError(
            "suite kvm-unit-tests is in no kernel's tree: --source is missing",
            hint=f"--source=FOLDER, or --source={kvm_unit_tests.UPSTREAM}#master",
        )
    every = kvm_unit_tests.build(request.source, request.arch.value, cache, sink=sink)
    named = request.only != "*" or request.list_file
    tests = chosen([t for t in every if named or "nodefault" not in t.groups], request)
    if request.timeout_s:  # what is typed wins
        tests = tuple(replace(test, timeout="") for test in tests)
    how = HowToRun(request.timeout_s or _UNIT_TEST_S, request.env)

    def run(pool: Pool, on: HostRequest, evidence: Path) -> tuple[str, str]:
        return run_unit_tests(pool, on, tests, evidence, how)

    return Prepared(lab, run)


def _with_config(lab: LabConfig, name: str, spec: KernelSpec, fragment: Path) -> LabConfig:
    more = spec.model_copy(update={"config": (*spec.config, fragment)})
    return lab.model_copy(update={"kernel": {**lab.kernel, name: more}})
