# SPDX-License-Identifier: Apache-2.0
"""What the docstrings of a package lack, and which of their phrases the glossary replaces."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import lab

LAB = Path(lab.__file__).parent
UNDOCUMENTED_PARAMETERS = frozenset({"self", "cls", "by"})
BANNED = re.compile(r"is to be|who (?:is|are) to\b|nobody who", re.IGNORECASE)
BANNED_START = re.compile(r"(?:Gives?|Says?|Tells?|Insists?)\b")
NOTHING = frozenset({"None", "NoReturn", "Never"})

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(slots=True)
class Module:
    """One module of `lab`: its tree, and the dotted names under which it uses other modules."""

    name: str
    package: str
    tree: ast.Module
    definitions: dict[str, ast.stmt] = field(default_factory=dict)
    passed_on: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Names that it imports itself, with module and name of their origin."""


def modules(root: Path) -> dict[str, Module]:
    """Return the modules under `root` by dotted name; a package is a folder."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        package = ".".join(parts[:-1])
        name = package if parts[-1] == "__init__" else ".".join(parts)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        module = Module(name, package, tree)
        for node in tree.body:
            if isinstance(node, Function | ast.ClassDef):
                module.definitions[node.name] = node
            elif isinstance(node, ast.ImportFrom):
                origin = _absolute(node, package)
                for alias in node.names:
                    module.passed_on[alias.asname or alias.name] = (origin, alias.name)
        found[name] = module
    return found


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    base = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def _origin(known: dict[str, Module], module: str, name: str) -> tuple[str, str]:
    """Return where a name is defined that may only be passed on by `module`."""
    while module in known and name not in known[module].definitions:
        if name not in known[module].passed_on:
            break
        module, name = known[module].passed_on[name]
    return module, name


def imported(known: dict[str, Module]) -> dict[str, set[str]]:
    """Return, by module, the names that a module of another package imports or reaches."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for module in known.values():
        aliases = {}
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.ImportFrom):
                continue
            origin = _absolute(node, module.package)
            for alias in node.names:
                if (submodule := f"{origin}.{alias.name}") in known:
                    aliases[alias.asname or alias.name] = submodule
                elif origin in known and known[origin].package != module.package:
                    wanted[origin].add(alias.name)
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                target = aliases.get(node.value.id)
                if target and known[target].package != module.package:
                    wanted[target].add(node.attr)
    return wanted


def _decorators(node: Function | ast.ClassDef) -> set[str]:
    return {ast.unparse(d).split("(")[0].split(".")[-1] for d in node.decorator_list}


def public(known: dict[str, Module]) -> Iterator[tuple[str, Function | ast.ClassDef]]:
    """Yield what crosses a package boundary, as `module:name`."""
    crossing = {
        _origin(known, module, symbol)
        for module, symbols in imported(known).items()
        for symbol in symbols
    }
    for name, symbol in sorted(crossing):
        node = known[name].definitions.get(symbol) if name in known else None
        if isinstance(node, Function | ast.ClassDef):
            yield f"{name}:{symbol}", node
            yield from ((f"{name}:{symbol}.{m.name}", m) for m in _methods(node))


def _methods(node: Function | ast.ClassDef) -> Iterator[Function]:
    for member in node.body if isinstance(node, ast.ClassDef) else ():
        if not isinstance(member, Function) or member.name.startswith("_"):
            continue
        if "setter" not in _decorators(member):
            yield member


def _parameters(node: Function) -> list[str]:
    arguments = node.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    named += [a for a in (arguments.vararg, arguments.kwarg) if a]
    return [a.arg for a in named if a.arg not in UNDOCUMENTED_PARAMETERS and a.arg[0] != "_"]


def _raises(node: ast.AST) -> bool:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(child, ast.Raise) and child.exc is not None:
            return True
        if _raises(child):
            return True
    return False


def _yields(node: ast.AST) -> bool:
    return any(
        isinstance(child, ast.Yield | ast.YieldFrom)
        or (not isinstance(child, Function | ast.Lambda | ast.ClassDef) and _yields(child))
        for child in ast.iter_child_nodes(node)
    )


def _sections(node: Function) -> list[str]:
    decorators = _decorators(node)
    if decorators & {"property", "cached_property", "overload"}:
        return []
    wanted = ["Args"] if _parameters(node) else []
    generator = bool(decorators & {"contextmanager"})
    returns = ast.unparse(node.returns) if node.returns else "None"
    if returns not in NOTHING | ({"Iterator[None]"} if generator else set()):
        wanted.append("Yields" if generator else "Returns|Yields" if _yields(node) else "Returns")
    return [*wanted, *(["Raises"] if _raises(node) else [])]


def lacking(node: Function | ast.ClassDef) -> str | None:
    """Return what the docstring of `node` lacks, or None."""
    text = ast.get_docstring(node)
    if text is None:
        return "docstring"
    if isinstance(node, ast.ClassDef):
        members = (m for m in node.body if isinstance(m, Function))
        made = next((m for m in members if m.name == "__init__"), None)
        parameters = _parameters(made) if made else []
        wanted = ["Args"] if parameters else []
        if made and "Args:" in (inner := ast.get_docstring(made) or ""):
            text = inner
    else:
        wanted = _sections(node)
        parameters = _parameters(node) if wanted else []
    missing = [w for w in wanted if not re.search(rf"^(?:{w}):", text, re.MULTILINE)]
    if not missing:
        documented = _documented(text)
        missing += [f"argument {name}" for name in parameters if name not in documented]
        missing += [f"parameter {name}" for name in documented if name not in parameters]
    return ", ".join(missing) or None


def _documented(text: str) -> list[str]:
    """Return the names below `Args:`, without those that need no entry."""
    section = re.search(r"^Args:\n((?: .*\n?|\n(?= ))*)", text, re.MULTILINE)
    names = re.findall(r"^ {4}(\w+):", section[1], re.MULTILINE) if section else []
    return [name for name in names if name not in UNDOCUMENTED_PARAMETERS]


def undocumented(known: dict[str, Module]) -> dict[str, str]:
    """Return, by `module:name`, what each name that crosses a package boundary lacks."""
    return {name: what for name, node in public(known) if (what := lacking(node))}


def banned(known: dict[str, Module]) -> dict[str, str]:
    """Return, by `module:name`, the docstrings with a phrase that the glossary replaces."""
    found = {}
    for module in known.values():
        for name, node in _named(module.tree):
            text = ast.get_docstring(node) or ""
            if BANNED.search(text) or BANNED_START.match(text):
                found[f"{module.name}:{name}"] = text.splitlines()[0]
    return found


Named = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _named(node: ast.AST, name: str = "") -> Iterator[tuple[str, Named]]:
    if isinstance(node, Named):
        yield name or "-", node
    for child in ast.iter_child_nodes(node):
        inner = getattr(child, "name", "") if isinstance(child, Named) else ""
        yield from _named(child, ".".join(part for part in (name, inner) if part))
