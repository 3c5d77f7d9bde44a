# SPDX-License-Identifier: Apache-2.0
"""Public functions of the two edges document their arguments, results and errors."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

LAB = Path(__file__).parents[2] / "lab"
FILES = sorted([*(LAB / "cli").glob("*.py"), *(LAB / "pytest_plugin").glob("*.py")])
_TYPER = (
    "typer.Argument",
    "typer.Option",
    "typer.Context",
    "AsJson",
    "BisectOptions",
    "Into",
    "Reports",
    "RunOptions",
    "SelftestOptions",
    "Offline",
)
_QUIET = frozenset({"None", "NoReturn"})

Function = ast.FunctionDef


def public(path: Path) -> Iterator[tuple[str, Function]]:
    """Yield the name and the node of each public function and method of public classes."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, node
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for each in node.body:
                if isinstance(each, ast.FunctionDef) and not each.name.startswith("_"):
                    yield f"{node.name}.{each.name}", each


def is_fixture(node: Function) -> bool:
    return any("fixture" in ast.unparse(each) for each in node.decorator_list)


def undocumented(node: Function) -> list[str]:
    """Name the arguments that its docstring says nothing of; options have their help instead."""
    doc = ast.get_docstring(node) or ""
    arguments = [*node.args.args, *node.args.kwonlyargs]
    return [
        each.arg
        for each in arguments
        if each.arg not in {"self", "cls", "ctx", "_"}
        and not (each.annotation and any(t in ast.unparse(each.annotation) for t in _TYPER))
        and not re.search(rf"^\s+{each.arg}: ", doc, re.MULTILINE)
    ]


def raised_here(node: Function) -> set[str]:
    """Name the errors that the function itself raises."""
    return {
        re.split(r"[.(]", ast.unparse(each.exc).removeprefix("pytest."))[0]
        for each in ast.walk(node)
        if isinstance(each, ast.Raise) and isinstance(each.exc, ast.Call)
    }


FUNCTIONS = [(f"{p.parent.name}/{p.stem}.{name}", node) for p in FILES for name, node in public(p)]


@pytest.mark.parametrize(("name", "node"), FUNCTIONS, ids=[name for name, _ in FUNCTIONS])
def test_a_public_function_documents_itself(name: str, node: Function) -> None:
    doc = ast.get_docstring(node) or ""
    assert doc, name
    if not is_fixture(node):
        assert not undocumented(node), name
    returns = ast.unparse(node.returns) if node.returns else "None"
    is_command = any(a.arg == "ctx" for a in node.args.args)
    is_property = any("property" in ast.unparse(each) for each in node.decorator_list)
    if returns not in _QUIET and not (is_command or is_property or is_fixture(node)):
        assert re.search(r"\b(Return|Returns|Yield|Yields|Read)\b", doc), (
            f"{name} returns {returns}"
        )
    for error in raised_here(node):
        if not is_command:
            assert error in doc, f"{name} raises {error}"


def test_the_check_finds_what_is_missing() -> None:
    source = '''
def f(a: int, b: str) -> int:
    """Add.

    Args:
        a: One.
    """
    raise ValueError("x")
'''
    (node,) = ast.parse(source).body
    assert isinstance(node, ast.FunctionDef)
    assert undocumented(node) == ["b"]
    assert raised_here(node) == {"ValueError"}
