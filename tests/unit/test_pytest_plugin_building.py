# SPDX-License-Identifier: Apache-2.0
"""Built is what the chosen tests boot, and nothing else: an arm64 kernel takes ten minutes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from lab import pytest_plugin
from lab.config.load import load_lab, load_topologies
from lab.config.matrix import expand, select
from lab.config.model import Arch, Cell, LabConfig, Tier
from lab.errors import GoneError, OfflineError
from lab.events import Progress, Sink
from lab.pytest_plugin import building
from lab.pytest_plugin.building import needed
from lab.pytest_plugin.run import Run

ROOT = Path(__file__).parents[2]
TOPOLOGIES = ROOT / "topologies"


@pytest.fixture(name="cells", scope="module")
def all_committed_cells() -> tuple[Cell, ...]:
    lab = load_lab(ROOT / "lab.toml")
    return expand(load_topologies(TOPOLOGIES, lab), lab, accel="tcg")


def kinds(cells: tuple[Cell, ...], *items: object) -> set[tuple[str, str]]:
    run = SimpleNamespace(cells=lambda _: cells, lab=lambda _: None)
    found = needed(cast("list[pytest.Item]", items), cast("Run", run))
    return {(cell.kernel, cell.arch) for _, cell in found}


def item(folder: Path, *fixtures: str, cell: Cell | None = None, arch: str = "") -> object:
    params = {"callspec": SimpleNamespace(params={"cell": cell})} if cell else {}
    marks = [pytest.mark.arch(arch).mark] if arch else []
    return SimpleNamespace(
        path=folder / "test_x.py", fixturenames=fixtures, iter_markers=lambda _: marks, **params
    )


def test_a_cell_needs_its_own_kernel(cells: tuple[Cell, ...]) -> None:
    arm64 = next(cell for cell in cells if cell.id == "arm64-tcg-stock-vhe-linux-labvmm-none")
    assert kinds(cells, item(TOPOLOGIES, "judged", "pool", cell=arm64)) == {("stock", "arm64")}


def test_a_test_that_chooses_its_host_needs_all_of_its_tier(cells: tuple[Cell, ...]) -> None:
    """CI has the time for three kernels from nothing, and not for a fourth."""
    expected = {
        ("debian", "x86_64"),
        ("stock", "arm64"),
        ("stock", "x86_64"),
        ("reference", "x86_64"),
    }
    assert kinds(select(cells, Tier.CI), item(TOPOLOGIES, "pool")) == expected


def test_a_test_may_say_that_it_needs_one_architecture_only(cells: tuple[Cell, ...]) -> None:
    assert ("reference", "arm64") in kinds(cells, item(TOPOLOGIES, "pool"))
    found = kinds(cells, item(TOPOLOGIES, "pool", arch="x86_64"))
    assert found == {("debian", "x86_64"), ("stock", "x86_64"), ("reference", "x86_64")}


def test_a_test_without_a_host_needs_nothing(cells: tuple[Cell, ...]) -> None:
    played = item(TOPOLOGIES, "judged", cell=cells[0])  # as tests of the nightly do
    others = item(TOPOLOGIES, "tmp_path"), item(ROOT / "tests", "lab_session")
    assert kinds(cells, played, *others) == set()


def test_what_is_unavailable_is_built_for_its_probe(cells: tuple[Cell, ...]) -> None:
    away = next(cell for cell in cells if cell.id.endswith("protected-linux-labvmm-kexec"))
    other = next(c for c in cells if c.id.endswith("stock-protected-linux-labvmm-none"))
    took = kinds(cells, item(TOPOLOGIES, "judged", "pool", cell=away))
    assert took == kinds(cells, item(TOPOLOGIES, "judged", "pool", cell=other)) != set()


@pytest.mark.parametrize("why", [GoneError, OfflineError])
def test_what_is_locked_and_cannot_be_had_ends_pytest_with_125(
    monkeypatch: pytest.MonkeyPatch, why: type[GoneError | OfflineError]
) -> None:
    def build(*_: object) -> None:
        raise why("kernel 1 is gone", hint="type: lab lock --update")

    monkeypatch.setattr("lab.pytest_plugin.building.build", build)
    monkeypatch.setattr(pytest_plugin, "run_of", lambda _: None)
    config = SimpleNamespace(
        option=SimpleNamespace(collectonly=False),
        pluginmanager=SimpleNamespace(has_plugin=lambda _: True),
    )
    session = cast("pytest.Session", SimpleNamespace(config=config, items=[]))
    with pytest.raises(pytest.exit.Exception) as caught:
        pytest_plugin.pytest_collection_finish(session)
    assert caught.value.returncode == 125
    assert "lab lock --update" in caught.value.msg


def test_a_build_is_never_silent_under_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    terminal = SimpleNamespace(
        isatty=False,
        ensure_newline=lambda: None,
        write=lambda text, *, flush: said.append(text) if flush else None,
    )

    class Images:
        def __init__(self, _lab: object, _cache: object, sink: Sink) -> None:
            self.sink = sink

        def outfit(self, kernel: str, arch: str) -> None:
            what = f"kernel {kernel} for {arch}"
            self.sink(Progress(at=0, what=what, done=0, total=1, usually=100))
            self.sink(Progress(at=30, what=what, done=40, total=80, usually=100, unit="objects"))
            self.sink(Progress(at=60, what=what, done=1, total=1, usually=100))

    monkeypatch.setattr(building, "ImageStore", Images)
    monkeypatch.setattr(building, "standard", lambda _: None)
    manager = SimpleNamespace(getplugin=lambda _: terminal)
    session = cast("pytest.Session", SimpleNamespace(config=SimpleNamespace(pluginmanager=manager)))
    lab = cast("LabConfig", SimpleNamespace(cache=None, kernel_for=lambda name: name))
    building.built(session, lab, [("stock", Arch.X86_64)])
    assert "".join(said).splitlines() == [
        "kernel stock for x86_64: usually takes 1 min 40 s",
        "kernel stock for x86_64: 40 of 80 objects after 30.0 s, about 30.0 s left",
        "kernel stock for x86_64: done in 1 min 00 s",
    ]
