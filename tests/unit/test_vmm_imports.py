# SPDX-License-Identifier: Apache-2.0
"""labvmm imports commands and architectures by name, where no tool sees a wrong one."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.vmm import pack
from lab.vmm.cli import COMMANDS

_RELATIVE = re.compile(r"\.{1,3}[a-z][a-z0-9_.]*")


def named() -> Iterator[tuple[str, str]]:
    """Yield (package, name) of each relative module name that stands in a string of labvmm."""
    for place, path in pack.sources().items():
        package = ".".join(("lab.vmm", *Path(place).parent.parts))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and _RELATIVE.fullmatch(text):
                yield package, text
    for module, _ in COMMANDS.values():
        yield "lab.vmm", f".{module}"


@pytest.mark.parametrize(("package", "name"), sorted(set(named())))
def test_a_module_imported_by_name_exists(package: str, name: str) -> None:
    assert importlib.util.find_spec(name, package) is not None
