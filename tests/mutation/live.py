# SPDX-License-Identifier: Apache-2.0
"""Puts a mutant into a process in which the module is imported already: no test waits for imports.

A function gets the mutant's code, a table of the module is made anew. What neither can do (a class
body, a default of an argument) is for `trials` to import afresh.
"""

from __future__ import annotations

import ast
import gc
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType

from tests.mutation.mutant import Mutant

_OWN = (
    "co_code", "co_names", "co_varnames", "co_freevars", "co_cellvars", "co_flags", "co_argcount",
    "co_exceptiontable", "co_kwonlyargcount", "co_posonlyargcount", "co_name",
)  # fmt: skip
_TABLES = ast.Assign | ast.AnnAssign
_FUNCTION = 0x2  # CO_NEWLOCALS

Functions = Mapping[tuple[str, int], list[FunctionType]]


def functions_of(root: Path, files: set[str]) -> dict[str, Functions]:
    """Find all functions that are there of these files, by qualified name and first line."""
    found: dict[str, dict[tuple[str, int], list[FunctionType]]] = {file: {} for file in files}
    paths = {str(root / file): file for file in files}
    for one in gc.get_objects():
        if isinstance(one, FunctionType) and one.__code__.co_filename in paths:
            code = one.__code__
            key = (code.co_qualname, code.co_firstlineno)
            found[paths[code.co_filename]].setdefault(key, []).append(one)
    return dict(found)


def put(root: Path, mutant: Mutant, functions: Functions) -> bool:
    """Put a mutant in the place of an imported module's code.

    Returns:
        Whether that could be done.

    Raises:
        Exception: What making its table anew raised: it could not have been imported.
    """
    path = str(root / mutant.file)
    old = compile(mutant.original, path, "exec", dont_inherit=True)
    new = compile(mutant.source, path, "exec", dont_inherit=True)
    if (pairs := _differing(old, new)) is not None:
        return _swapped(pairs, functions)
    return _remade(ast.parse(mutant.original), ast.parse(mutant.source), path)


def _swapped(pairs: list[tuple[CodeType, CodeType]], functions: Functions) -> bool:
    inner = [pair for outer in pairs for pair in _nested(*outer)]
    there = [(functions.get((a.co_qualname, a.co_firstlineno), []), b) for a, b in inner]
    outermost = [functions.get((a.co_qualname, a.co_firstlineno), []) for a, _ in pairs]
    if not pairs or not all(outermost):
        return False
    for found, code in there:
        for function in found:
            if len(function.__code__.co_freevars) != len(code.co_freevars):
                return False
            function.__code__ = code
    return True


def _remade(old: ast.Module, new: ast.Module, path: str) -> bool:
    """Make the changed table anew, and those after it, which may be made of it."""
    at = next((n for n, (a, b) in enumerate(zip(old.body, new.body, strict=False))
               if ast.dump(a) != ast.dump(b)), None)  # fmt: skip
    module = next(
        (m for m in list(sys.modules.values()) if getattr(m, "__file__", "") == path), None
    )
    if at is None or module is None or not isinstance(new.body[at], _TABLES):
        return False
    tables: list[ast.stmt] = [one for one in new.body[at:] if isinstance(one, _TABLES)]
    before = dict(vars(module))
    exec(compile(ast.Module(tables, []), path, "exec", dont_inherit=True), vars(module))  # noqa: S102
    for name, value in before.items():
        if vars(module)[name] is not value:
            for other in list(sys.modules.values()):
                if getattr(other, "__dict__", {}).get(name) is value:
                    setattr(other, name, vars(module)[name])
    return True


def _differing(old: CodeType, new: CodeType) -> list[tuple[CodeType, CodeType]] | None:
    """Return the outermost functions that differ; None if what is run at import differs."""
    a, b = _children(old), _children(new)
    if _own(old) != _own(new) or len(a) != len(b):
        return None
    found: list[tuple[CodeType, CodeType]] = []
    for x, y in zip(a, b, strict=True):
        if _same(x, y):
            continue
        if x.co_flags & _FUNCTION and x.co_name not in {
            "<genexpr>",
            "<listcomp>",
            "<dictcomp>",
            "<setcomp>",
        }:
            found.append((x, y))
        elif (inner := _differing(x, y)) is None:
            return None
        else:
            found += inner
    return found


def _same(a: CodeType, b: CodeType) -> bool:
    x, y = _children(a), _children(b)
    alike = _own(a) == _own(b) and len(x) == len(y)
    return alike and all(map(_same, x, y))


def _nested(a: CodeType, b: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    yield a, b
    x, y = _children(a), _children(b)
    if [one.co_name for one in x] == [one.co_name for one in y]:
        for inner in zip(x, y, strict=True):
            yield from _nested(*inner)


def _children(code: CodeType) -> list[CodeType]:
    return [const for const in code.co_consts if isinstance(const, CodeType)]


def _own(code: CodeType) -> tuple[object, ...]:
    consts = [(type(c), repr(c)) for c in code.co_consts if not isinstance(c, CodeType)]
    return (consts, *(getattr(code, name) for name in _OWN))
