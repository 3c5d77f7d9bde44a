# SPDX-License-Identifier: Apache-2.0
"""What crosses a package boundary is documented: Args, Returns and Raises, in Google style.

A docstring says it in the field's words: BANNED has what the glossary replaces. There are no
exceptions.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.support.docstrings import LAB, Module, banned, lacking, modules, public, undocumented


@pytest.fixture(scope="module")
def known() -> dict[str, Module]:
    return modules(LAB)


def test_names_that_cross_packages_are_documented(known: dict[str, Module]) -> None:
    assert undocumented(known) == {}


def test_no_docstring_has_a_banned_phrase(known: dict[str, Module]) -> None:
    assert banned(known) == {}


GOOD = '''
    """Return twice `n`.

    Args:
        n: Any number.

    Returns:
        Its double.

    Raises:
        ValueError: It is negative.
    """
'''


def _crossing(tmp_path: Path, doc: str, use: str = "from lab.a.m import f") -> dict[str, Module]:
    """Return a `lab` of two packages, of which the second uses a function of the first."""
    body = (
        f"def f(n: int) -> int:\n{doc}\n    if n < 0:\n        raise ValueError(n)\n    return n\n"
    )
    for name, text in {"a/m.py": body, "b/m.py": use}.items():
        path = tmp_path / "lab" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return modules(tmp_path / "lab")


@pytest.mark.parametrize(
    "use",
    ["from lab.a.m import f", "from lab.a import m\nm.f(1)", "from ..a import m as x\nx.f(1)"],
)
@pytest.mark.parametrize("section", ["Args", "Returns", "Raises"])
def test_a_missing_section_is_seen(tmp_path: Path, section: str, use: str) -> None:
    assert undocumented(_crossing(tmp_path, GOOD, use)) == {}
    doc = GOOD.replace(f"{section}:", "Note:")
    assert undocumented(_crossing(tmp_path, doc, use)) == {"lab.a.m:f": section}


@pytest.mark.parametrize(("section", "lacks"), [("Yields", None), ("Note", "Returns|Yields")])
def test_a_generator_may_say_what_it_yields(
    tmp_path: Path, section: str, lacks: str | None
) -> None:
    known = _crossing(tmp_path, GOOD.replace("Returns:", f"{section}:"))
    (found,) = (node for name, node in public(known) if name == "lab.a.m:f")
    found.body.append(ast.parse("yield 1").body[0])
    assert lacking(found) == lacks


def test_an_argument_without_an_entry_is_seen(tmp_path: Path) -> None:
    doc = GOOD.replace("        n: Any number.", "        m: Any number.")
    assert undocumented(_crossing(tmp_path, doc)) == {"lab.a.m:f": "argument n, parameter m"}


def test_a_name_that_is_passed_on_is_followed(tmp_path: Path) -> None:
    (tmp_path / "lab/a").mkdir(parents=True)
    (tmp_path / "lab/a/door.py").write_text("from lab.a.m import f\n", encoding="utf-8")
    known = _crossing(tmp_path, "", use="from lab.a.door import f")
    assert undocumented(known) == {"lab.a.m:f": "docstring"}


def test_a_missing_docstring_is_seen(tmp_path: Path) -> None:
    assert undocumented(_crossing(tmp_path, "")) == {"lab.a.m:f": "docstring"}


def test_a_name_used_in_its_own_package_needs_no_sections(tmp_path: Path) -> None:
    known = _crossing(tmp_path, '    """Return it."""', use="")
    assert undocumented(known) == {}


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Give it.", True),
        ("Give up the VM.", True),
        ("Say whether it runs.", True),
        ("Tell why.", True),
        ("Insist that it runs.", True),
        ("Sayings of it.", False),
        ("Return what is to be done.", True),
        ("Return who is to run it.", True),
        ("Return it.", False),
    ],
)
def test_a_banned_phrase_is_seen(tmp_path: Path, text: str, *, seen: bool) -> None:
    assert bool(banned(_crossing(tmp_path, f'    """{text}"""'))) is seen
