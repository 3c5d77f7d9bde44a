# SPDX-License-Identifier: Apache-2.0
"""pytest's edge of the lab: options, cells as parameters, fixtures that run them, the run's end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # pytest imports this in every suite of a venv: what is heavy comes when needed
    from lab.config.model import Cell
    from lab.pytest_plugin.run import Run
    from lab.record.model import CellRecord
    from lab.runner.lab_session import LabSession
    from lab.runner.pool import Pool

NAME = "lab-run"
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
    ("shard", "", "run one part of several, as 2/4; lab merge puts them together"),
)
_OURS = frozenset(
    {"cell", "cells", "judged", "lab_guest", "lab_host", "lab_session", "pool", "repeat"}
)


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the --lab-* options; each has a LAB_* twin in the environment.

    Args:
        parser: pytest's.
        pluginmanager: pytest's.
    """
    if pluginmanager.is_blocked("timeout"):  # -p no:timeout; the key of a pytest.ini stays known
        parser.addini("timeout", "Of pytest-timeout, which -p no:timeout leaves out.")
    group = parser.getgroup("lab", "Caretaker Lab")
    for name, default, text in OPTIONS:
        group.addoption(
            f"--lab-{name}",
            default=_default(name, default),
            help=f"{text} (default: ${_variable(name)}, else '{default}')",
        )


def _variable(name: str) -> str:
    return f"LAB_{name.upper().replace('-', '_')}"


def _default(name: str, usual: str) -> str:
    return os.environ.get(_variable(name), usual)


def pytest_configure(config: pytest.Config) -> None:
    """Begin a run of cells if options say that it is one; else a test that needs one begins it.

    Args:
        config: pytest's.

    Raises:
        UsageError: An option is wrong.
    """
    config.addinivalue_line("markers", "cell: one cell of a topology, run on real machines")
    config.addinivalue_line("markers", "tier(word): run in this tier and in those above it")
    config.addinivalue_line(
        "markers",
        "needs_cell(arch=, mode=, kernel=, orphaning=): run if a cell of this run has all of that",
    )
    config.addinivalue_line(
        "markers",
        "twin(name, itself=): the test or cell in which such a guest dies, or why it needs none",
    )
    config.addinivalue_line("markers", "arch(word): boots hosts of this architecture only")
    config.addinivalue_line("markers", "lab_host(arch=, kernel=, mode=, ...): see the fixture")
    config.addinivalue_line("markers", "lab_guest(kind=, vmm=, vcpus=, ...): see the fixture")
    if _is_for_cells(config):
        run_of(config)


def _is_for_cells(config: pytest.Config) -> bool:
    """Whether a run of cells was asked for, or may be one of workers that have to know its id."""
    typed = (
        config.getoption(f"--lab-{name}") != _default(name, usual) for name, usual, _ in OPTIONS
    )
    shared = getattr(config.option, "dist", "no") != "no" or hasattr(config, "workerinput")
    return shared or any(typed)


def run_of(config: pytest.Config) -> Run:
    """Return the run of cells of this pytest, which begins when it is asked for first.

    Args:
        config: pytest's.

    Returns:
        The run, whose plugins are registered; nothing is opened yet.

    Raises:
        UsageError: An option is wrong.
    """
    if (known := config.pluginmanager.getplugin(NAME)) is not None:
        begun: Run = known
        return begun
    from lab.pytest_plugin.checks import Checks
    from lab.pytest_plugin.heartbeat import Heartbeat
    from lab.pytest_plugin.record import Recorder
    from lab.pytest_plugin.run import Run
    from lab.pytest_plugin.selection import Selection

    run = Run(config, getattr(config, "workerinput", None))
    config.pluginmanager.register(run, NAME)
    config.pluginmanager.register(Recorder(config, run), f"{NAME}-recorder")
    config.pluginmanager.register(Selection(config, run), f"{NAME}-selection")
    config.pluginmanager.register(Checks(run), f"{NAME}-checks")
    if not run.is_worker:
        config.pluginmanager.register(Heartbeat(run), f"{NAME}-heartbeat")
    return run


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Begin a run of cells for a test that needs one; make one test of each cell.

    Args:
        metafunc: The test.

    Raises:
        UsageError: lab.toml, a topology or an option is wrong.
    """
    if _OURS.isdisjoint(metafunc.fixturenames):
        return
    run = run_of(metafunc.config)
    if "cell" in metafunc.fixturenames:
        from lab.pytest_plugin.collecting import make_cells

        make_cells(metafunc, run)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what is marked for a tier above that of this run.

    Args:
        config: pytest's.
        items: The tests; changed in place.

    Raises:
        UsageError: An option is wrong.
    """
    marked = any(item.get_closest_marker("tier") for item in items)
    if marked or config.pluginmanager.has_plugin(NAME):
        from lab.pytest_plugin.collecting import choose

        choose(config, items, run_of(config))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what the chosen tests boot, unless it is cached; refuse to mix two experiments.

    Args:
        session: With the tests that were chosen.

    Raises:
        Exit: What is locked has left the mirrors, or is not cached and the lab is offline.
        UsageError: Something could not be built, or the resumed run came about otherwise.
    """
    if session.config.option.collectonly or not session.config.pluginmanager.has_plugin(NAME):
        return
    from lab.errors import GoneError, LabError, OfflineError
    from lab.pytest_plugin.building import build
    from lab.pytest_plugin.sameness import insist_same
    from lab.record.classify import CANNOT_TELL

    try:
        run = run_of(session.config)
        build(session, run)
        insist_same(session.items, run)
    except (GoneError, OfflineError) as e:
        pytest.exit(str(e), returncode=CANNOT_TELL)
    except LabError as e:
        raise pytest.UsageError(str(e)) from e


@pytest.fixture(scope="session")
def lab_session(
    request: pytest.FixtureRequest, pytestconfig: pytest.Config
) -> Iterator[LabSession]:
    """Return the run of the lab of this worker; all that it makes is removed at the end."""
    from lab.events import Step, nowhere
    from lab.runner.lab_session import opened
    from lab.signals import stoppable

    run = run_of(pytestconfig)
    folder = _suite(request)
    logged = pytestconfig.get_verbosity() > 0
    terminal = pytestconfig.pluginmanager.getplugin("terminalreporter")

    heart = pytestconfig.pluginmanager.getplugin(f"{NAME}-heartbeat")

    def tell(event: object) -> None:
        if isinstance(event, Step) and terminal is not None:
            with heart.room() if heart else nullcontext():
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
    return run_of(pytestconfig).cells(_suite(request))


def _suite(request: pytest.FixtureRequest) -> Path:
    """Return the folder beside which lab.toml is, whatever order tests are run in."""
    from lab.pytest_plugin.plan import folder_of

    items = request.session.items
    return folder_of(items) or min(item.path.parent for item in items)


@pytest.fixture(scope="session")
def pool(lab_session: LabSession) -> Iterator[Pool]:
    """Return the pool of this worker, which has one warm host at a time."""
    from lab.runner.pool import Pool

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
    from lab.pytest_plugin.judging import judge_turn

    return judge_turn(pool, cell, request, run_of(request.config), repeat=repeat)
