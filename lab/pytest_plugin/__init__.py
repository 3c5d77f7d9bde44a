# SPDX-License-Identifier: Apache-2.0
"""pytest's edge of the lab: options, cells as parameters, fixtures that run them, the run's end."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from lab.config.model import Cell, Tier
from lab.errors import ConfigError, LabError
from lab.events import Step, nowhere
from lab.pytest_plugin.building import build
from lab.pytest_plugin.checks import Checks
from lab.pytest_plugin.judging import judge_turn
from lab.pytest_plugin.record import Recorder
from lab.pytest_plugin.run import NAME, Run
from lab.pytest_plugin.sameness import insist_same
from lab.pytest_plugin.selection import Selection
from lab.pytest_plugin.turns import key_of, turn_of
from lab.record.model import CellRecord
from lab.runner.lab_session import LabSession, opened
from lab.runner.pool import Pool
from lab.signals import stoppable

pytest_plugins = ("lab.pytest_plugin.hosts",)
OPTIONS = (
    ("toml", "lab.toml", "the lab's configuration"),
    ("tier", "ci", "which cells to run: ci, nightly or soak"),
    ("kernel", "", "a kernel source tree to test in place of 'stock'"),
    ("accel", "", "what to run L1s on: auto, kvm or tcg; the default is lab.toml's"),
    ("keep", "never", "which hosts to leave standing: never or failed"),
    ("repeat", "1", "how often to run each cell; 'nightly' is as [nightly] of lab.toml says"),
    ("resume", "", "resume a run that was killed: its id, or 'last'"),
    ("run-id", "", "the name of this run; a random one without it"),
    ("reports", "reports", "where the folder of this run is made"),
)
_CELL_S = 600.0
_EACH_KEXEC_S = 60.0


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the --lab-* options; each has a LAB_* twin in the environment.

    Args:
        parser: pytest's.
    """
    group = parser.getgroup("lab", "Caretaker Lab")
    for name, default, text in OPTIONS:
        variable = f"LAB_{name.upper().replace('-', '_')}"
        group.addoption(
            f"--lab-{name}",
            default=os.environ.get(variable, default),
            help=f"{text} (default: ${variable}, else '{default}')",
        )


def pytest_configure(config: pytest.Config) -> None:
    """Register the plugins of a run of cells; nothing is opened yet.

    Args:
        config: pytest's.

    Raises:
        UsageError: An option is wrong.
    """
    config.addinivalue_line("markers", "cell: one cell of a topology, run on real machines")
    config.addinivalue_line("markers", "tier(word): run in this tier and in those above it")
    config.addinivalue_line("markers", "arch(word): boots hosts of this architecture only")
    config.addinivalue_line("markers", "lab_host(arch=, kernel=, mode=, ...): see the fixture")
    config.addinivalue_line("markers", "lab_guest(kind=, vmm=, vcpus=, ...): see the fixture")
    worker = getattr(config, "workerinput", None)
    run = Run(config, worker)
    config.pluginmanager.register(run, NAME)
    config.pluginmanager.register(Recorder(config, run), f"{NAME}-recorder")
    config.pluginmanager.register(Selection(config, run), f"{NAME}-selection")
    config.pluginmanager.register(Checks(run), f"{NAME}-checks")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test of each cell, where a test takes a `cell`.

    Args:
        metafunc: The test.

    Raises:
        UsageError: lab.toml or a topology is wrong.
    """
    if "cell" not in metafunc.fixturenames:
        return
    run: Run = metafunc.config.pluginmanager.getplugin(NAME)
    try:
        folder = metafunc.definition.path.parent
        cells = run.cells(folder)
        turns = run.turns(folder, cells) if "repeat" in metafunc.fixturenames else ()
    except ConfigError as e:
        raise pytest.UsageError(str(e)) from e
    if not turns:
        metafunc.parametrize("cell", cells, ids=[cell.id for cell in cells], scope="session")
        return
    ids = [key_of(cell, repeat) for cell, repeat in turns]
    metafunc.parametrize(("cell", "repeat"), turns, ids=ids, scope="function")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what is marked for a tier above that of this run.

    Args:
        config: pytest's.
        items: The tests; changed in place.
    """
    run: Run = config.pluginmanager.getplugin(NAME)
    tiers = list(Tier)
    within = set(tiers[: tiers.index(run.tier) + 1])
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        marker = item.get_closest_marker("tier")
        (kept if marker is None or Tier(marker.args[0]) in within else left_out).append(item)
        _give_time(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


def _give_time(item: pytest.Item) -> None:
    """Limit the time of a cell where nothing else does; one of many kexecs may take longer."""
    turn = turn_of(item)
    if turn is None:
        return
    limit_s = _time_limit_s(item.config)
    more = turn[0].options.kexecs - 1
    if limit_s is None or (limit_s and more):
        usual_s = _CELL_S if limit_s is None else limit_s
        item.add_marker(pytest.mark.timeout(usual_s + more * _EACH_KEXEC_S))


def _time_limit_s(config: pytest.Config) -> float | None:
    """Return the limit of pytest-timeout for each test, 0 for none; None where it was not set."""
    places = config.getoption("timeout"), os.environ.get("PYTEST_TIMEOUT"), config.getini("timeout")
    return next((float(said) for said in places if said not in {None, ""}), None)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what the chosen tests boot, unless it is cached; refuse to mix two experiments.

    Args:
        session: With the tests that were chosen.

    Raises:
        UsageError: Something could not be built, or the resumed run came about otherwise.
    """
    if session.config.option.collectonly:
        return
    run: Run = session.config.pluginmanager.getplugin(NAME)
    try:
        build(session, run)
        insist_same(session.items, run)
    except LabError as e:
        raise pytest.UsageError(str(e)) from e


@pytest.fixture(scope="session")
def lab_session(
    request: pytest.FixtureRequest, pytestconfig: pytest.Config
) -> Iterator[LabSession]:
    """Return the run of the lab of this worker; all that it makes is removed at the end."""
    run: Run = pytestconfig.pluginmanager.getplugin(NAME)
    folder = request.session.items[0].path.parent
    logged = pytestconfig.get_verbosity() > 0
    terminal = pytestconfig.pluginmanager.getplugin("terminalreporter")

    def tell(event: object) -> None:
        if isinstance(event, Step) and terminal is not None:
            terminal.write_line(f"  {event.what}")

    sink = tell if logged else nowhere
    # timeout(1) and CIs end a run by SIGTERM: its hosts go as they do at Ctrl-C.
    with (
        stoppable(lambda _: KeyboardInterrupt()),
        opened(run.lab(folder), sink, run_id=run.session_id) as opened_session,
    ):
        yield opened_session


@pytest.fixture(scope="session")
def cells(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> tuple[Cell, ...]:
    """Return every cell of this tier, for tests that need one without running it as such."""
    run: Run = pytestconfig.pluginmanager.getplugin(NAME)
    return run.cells(request.session.items[0].path.parent)


@pytest.fixture(scope="session")
def pool(lab_session: LabSession) -> Iterator[Pool]:
    """Return the pool of this worker, which has one warm host at a time."""
    warm = Pool(lab_session)
    yield warm
    warm.close()


@pytest.fixture
def repeat() -> int:
    """Return which repeat of a cell this is, from 1; 1 where nothing repeats it."""
    return 1


@pytest.fixture
def judged(cell: Cell, repeat: int, pool: Pool, request: pytest.FixtureRequest) -> CellRecord:
    """Run `cell` and return its record, which is on disk by then.

    Raises:
        LabError: Something of the lab broke.
        InfraError: The verdict is Unproven.
    """
    return judge_turn(pool, cell, request, repeat=repeat)
