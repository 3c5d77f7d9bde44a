# SPDX-License-Identifier: Apache-2.0
"""Every function of the caretaker that another file can call has kernel-doc."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

_CARETAKER = Path(__file__).parents[2] / "guest-images/kernels/reference/tree/arch/x86/caretaker"
_FUNCTION = re.compile(
    r"^(?!static|extern|typedef|struct \w+ \{|enum|DEFINE|DECLARE|EXPORT|\w+_initcall|CT_INIT|#)"
    r"[a-z][\w \t*]*?\b(?P<name>\w+)\((?P<args>[^;{}]*?)\)(?:[^;{}()]*)\n\{",
    re.MULTILINE,
)
_DOC = re.compile(r"/\*\*\n \* (?P<name>\w+)\(\) - (?P<rest>(?:(?!\*/).)*)\*/\n\Z", re.DOTALL)


def _undocumented(text: str) -> list[str]:
    """List functions that are not static and lack kernel-doc, or an argument in it."""
    found = []
    for function in _FUNCTION.finditer(text):
        name, before = function["name"], text[: function.start()]
        doc = _DOC.search(before[before.rfind("/**") :] if "/**" in before else "")
        named = re.findall(r"(\w+)(?:\[\w*\])?\s*(?:,|$)", function["args"])
        wanted = {f"@{word}:" for word in named if word != "void"}
        if not doc or doc["name"] != name or any(word not in doc["rest"] for word in wanted):
            found.append(name)
    return found


def _sources() -> Iterable[Path]:
    return sorted(_CARETAKER.rglob("*.c"))


def test_functions_that_others_call_have_kernel_doc() -> None:
    found = {path.name: _undocumented(path.read_text()) for path in _sources()}
    assert {name: names for name, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("what", "instead"),
    [
        pytest.param("/**\n * efer_ok()", "/*\n * efer_ok()", id="no-doc"),
        pytest.param(" * efer_ok() - ", " * efer_fine() - ", id="of-another"),
        pytest.param(" * @paging: CR0.PG\n", "", id="argument-missing"),
    ],
)
def test_missing_kernel_doc_is_found(what: str, instead: str) -> None:
    text = (_CARETAKER / "core/check.c").read_text()
    assert text.count(what) == 1
    assert _undocumented(text.replace(what, instead)) == ["efer_ok"]


def test_every_c_file_was_looked_at() -> None:
    looked = {path.name: _FUNCTION.findall(path.read_text()) for path in _sources()}
    assert len(looked) > 20
    assert sum(len(found) for found in looked.values()) > 60
