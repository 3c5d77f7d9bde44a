# SPDX-License-Identifier: Apache-2.0
"""No module over 300 lines and no function over 40: docstrings are not counted, comments are."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = ("lab", "tests", "topologies", "docs/tools")
MODULE, FUNCTION = 300, 40

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
Function = ast.FunctionDef | ast.AsyncFunctionDef


def docstrings(node: ast.AST) -> int:
    """Count the lines of all docstrings in a node, its own among them."""
    lines = 0
    for each in ast.walk(node):
        body = getattr(each, "body", None)
        if isinstance(body, list):
            lines += sum(_lines(s) for s in body if _is_text(s))
    return lines


def too_long(text: str) -> Iterator[str]:
    """Say what is too long in a module, and how long it is."""
    tree = ast.parse(text)
    if (size := len(text.splitlines()) - docstrings(tree)) > MODULE:
        yield f"module: {size}"
    for node in ast.walk(tree):
        if isinstance(node, Function) and (size := _lines(node) - docstrings(node)) > FUNCTION:
            yield f"{node.name}: {size}"


def _is_text(node: ast.stmt) -> bool:
    constant = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return constant and isinstance(node.value.value, str)  # type: ignore[attr-defined]


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


@pytest.mark.parametrize("place", PLACES)
def test_no_module_and_no_function_is_too_long(place: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {what}"
        for path in sorted((ROOT / place).rglob("*.py"))
        for what in too_long(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_what_is_too_long_is_seen_and_docstrings_do_not_count() -> None:
    def module(lines: int, text: int = 1) -> str:
        body = "    x = 1\n" * lines
        said = '    """' + "word\n" * (text - 1) + '"""\n'
        return f"def f():\n{said}{body}"

    assert list(too_long(module(39, 50))) == []
    assert list(too_long(module(40))) == ["f: 41"]
    assert list(too_long("x = 1\n" * 301)) == ["module: 301"]
    assert list(too_long("class A:\n    x = 1\n" + '    """A field\'s."""\n' * 400)) == []
