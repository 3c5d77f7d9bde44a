# SPDX-License-Identifier: Apache-2.0
"""All mutants of a file: one change each, with a name that outlives changes elsewhere."""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mutation.mutant import Mutant
from tests.mutation.operators import OPERATORS, cst, passed_over


@dataclass(frozen=True, slots=True)
class _Place:
    node: Any
    within: str


def mutants_of(root: Path, file: str) -> list[Mutant]:
    """Return all mutants of a file that can be compiled, none of them twice.

    Args:
        root: The checkout.
        file: Relative to it.
    """
    return mutants_in((root / file).read_text(encoding="utf-8"), file)


def mutants_in(source: str, file: str) -> list[Mutant]:
    """Return all mutants of the text of a file, see `mutants_of`."""
    module = cst.parse_module(source)
    codes = [module.code_for_node(statement) for statement in module.body]
    head = source[: source.index(codes[0])] if codes else source
    found: list[Mutant] = []
    seen = {source}
    names: Counter[str] = Counter()
    for n, statement in enumerate(module.body):
        before, after = head + "".join(codes[:n]), "".join(codes[n + 1 :])
        for place in _places(statement, ""):
            for kind, changed in _changes(place.node):
                code = module.code_for_node(statement.deep_replace(place.node, changed))
                whole = before + code + after
                if whole in seen or not _compiles(whole, file):
                    continue
                seen.add(whole)
                found.append(_mutant(file, place.within, kind, source, whole, names))
    return found


def _places(node: Any, within: str) -> Iterator[_Place]:
    if passed_over(node):
        return
    yield _Place(node, within)
    inner = within
    if isinstance(node, cst.FunctionDef | cst.ClassDef):
        inner = f"{within}.{node.name.value}".lstrip(".")
    for child in node.children:
        yield from _places(child, inner)


def _changes(node: Any) -> Iterator[tuple[str, Any]]:
    for kinds, kind, operator in OPERATORS:
        if isinstance(node, kinds):
            for changed in operator(node):
                yield kind, changed


def _compiles(source: str, file: str) -> bool:
    try:
        compile(source, file, "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


def _mutant(  # noqa: PLR0917
    file: str, within: str, kind: str, source: str, whole: str, names: Counter[str]
) -> Mutant:
    line, was, now = _change(source, whole)
    name = f"{file}\0{within}\0{kind}\0{was}\0{now}"
    names[name] += 1
    ident = hashlib.sha256(f"{name}\0{names[name]}".encode()).hexdigest()[:10]
    return Mutant(ident, file, line, within, kind, was, now, source, whole)


def _change(source: str, whole: str) -> tuple[int, str, str]:
    """Return from which line on what became what."""
    old, new = source.splitlines(), whole.splitlines()
    blocks = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    changed = [block for block in blocks if block[0] != "equal"]
    first, last = changed[0], changed[-1]
    was, now = old[first[1] : last[2]], new[first[3] : last[4]]
    return first[1] + 1, " / ".join(map(str.strip, was)), " / ".join(map(str.strip, now))
