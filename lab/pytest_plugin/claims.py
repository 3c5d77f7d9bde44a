# SPDX-License-Identifier: Apache-2.0
"""Tests beside the cells that assert by hand that a guest lives, and the twin that each names.

A cell's survival counts only with its control; so does that of a test that starts a guest, harms
its host and looks. Whether a test does that is read from its code, and what it calls in its module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from inspect import unwrap
from types import CodeType, FunctionType, ModuleType

import pytest

from lab.config.enums import Accel, Arch
from lab.config.model import LabConfig
from lab.config.must_run import id_here
from lab.pytest_plugin.turns import turn_of

TWIN = "twin"
# Who names one of these asserts, or waits until, a guest is alive; adopting one that is dead fails.
_LIVES = frozenset(
    {"insist_lives", "insist_unmoved", "insist_on", "states", "adopt", "Survived", "Parked"}
)
_SAYS = 'name it: @pytest.mark.twin("test_x.py::test_that_it_dies"), or itself="why it needs none"'


@dataclass(frozen=True, slots=True)
class Twins:
    """By the id of a test: the test or cell that shows its guest's death, or why there is none."""

    named: dict[str, str]
    missing: dict[str, str]


def twins_of(
    items: Sequence[pytest.Item], cells: Sequence[str], here: Callable[[str], str]
) -> Twins:
    """Return the twins of the tests that assert that a guest lives.

    Args:
        items: All tests of the run.
        cells: Ids of all cells of the run.
        here: Turns the id of a cell as it is under TCG into what it is here.

    Returns:
        The twins.
    """
    found = Twins({}, {})
    tests = {item.nodeid.partition("[")[0] for item in items}
    for item in items:
        if turn_of(item) or not claims(item):
            continue
        name, why = _twin(item)
        twin = here(name)
        if why or twin == item.nodeid.partition("[")[0]:
            continue  # it is a control itself
        if twin in tests or twin in cells:
            found.named[item.nodeid] = twin
            continue
        lacks = f"its twin {twin} is no test of this run" if twin else f"it has no twin: {_SAYS}"
        found.missing[item.nodeid] = f"it asserts that a guest lives, and {lacks}"
    return found


def id_by(lab: LabConfig, accels: dict[Arch, Accel]) -> Callable[[str], str]:
    """Return what turns the id of a cell under TCG into its id here; other names stay.

    Args:
        lab: Which kernel stands for which.
        accels: What hosts run on.
    """

    def here(name: str) -> str:
        arch = next((each for each in Arch if name.startswith(f"{each}-tcg-")), None)
        return id_here(name, accels[arch], lab) if arch else name

    return here


def claims(item: pytest.Item) -> bool:
    """Return whether a test asserts that a guest lives.

    Args:
        item: The test.
    """
    module = getattr(item, "module", None)
    function = getattr(item, "function", None)
    if not isinstance(module, ModuleType) or function is None:
        return False
    seen: set[CodeType] = set()
    fixtures = (getattr(module, name, None) for name in getattr(item, "fixturenames", ()))
    return any(
        not _LIVES.isdisjoint(code.co_names)
        for each in (function, *filter(None, fixtures))
        for code in _codes(each, module, seen)
    )


def _twin(item: pytest.Item) -> tuple[str, str]:
    """Return the name of a test's twin, or why it is a control itself."""
    marker = item.get_closest_marker(TWIN)
    if marker is None:
        return "", ""
    if why := marker.kwargs.get("itself", ""):
        return "", str(why)
    name = str(marker.args[0]) if marker.args else ""
    folder, _, module = item.nodeid.partition("::")[0].rpartition("/")
    if name.startswith("test_") and "::" not in name:
        name = f"{module}::{name}"
    return (f"{folder}/{name}" if folder and "::" in name else name), ""


def _codes(function: object, module: ModuleType, seen: set[CodeType]) -> Iterator[CodeType]:
    """Yield the code of a function, and of all in its module that it names."""
    code = getattr(unwrap(function), "__code__", None)  # type: ignore[arg-type]
    if not isinstance(code, CodeType) or code in seen:
        return
    for each in _nested(code):
        seen.add(each)
        yield each
        for name in each.co_names:
            yield from _named(getattr(module, name, None), module, seen)


def _named(thing: object, module: ModuleType, seen: set[CodeType]) -> Iterator[CodeType]:
    if getattr(thing, "__module__", None) != module.__name__:
        return
    functions = vars(thing).values() if isinstance(thing, type) else (thing,)
    for function in functions:
        if isinstance(function, FunctionType):
            yield from _codes(function, module, seen)


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)
