# SPDX-License-Identifier: Apache-2.0
"""What each operator has to make of a few lines: the gate looks before it believes in a score."""

from __future__ import annotations

from tests.mutation.mutants import mutants_in

_SAMPLE = '''"""A module."""
LIMIT = 3
KINDS = {"a", "b"}
def f(x: int | None, y=0.5):
    """Say."""
    for n in x:
        if n < LIMIT and not y:
            raise ValueError("no")
    z = [m for m in x if m]
    try:
        return z is None
    except OSError:
        return ""
    match x:
        case 1:
            z = 1 if y else 2
        case 2000:
            return None
    return f(z) + 1
'''
_WANTED = (
    "LIMIT = 4", "LIMIT = 2", 'KINDS = {"b"}', "def f(x: int | None, y=1.0):", "y=0.25",
    "for n in ():", "if n <= LIMIT and not y:", "if n >= LIMIT and not y:",
    "if n < LIMIT or not y:", "if n < LIMIT and y:", "if not (n < LIMIT and not y):",
    "z = [m for m in x if not (m)]", "z = [m for m in x]", "return z is not None",
    "return not (z is None)", "except ZeroDivisionError:", 'return "mutant"', "case 4000:",
    "case 1000:", "z = 1 if (y) and False else 2", "z = 1 if (y) or True else 2", "return 1",
    "return None", "return f(z) - 1", "return f(z) + 2", "pass",
)  # fmt: skip


def insist() -> None:
    """Insist that the mutation tool and our own operators make what they should.

    Raises:
        SystemExit: They do not; the message has what is missing.
    """
    made = [mutant.now for mutant in mutants_in(_SAMPLE, "sample.py")]
    for wanted in _WANTED:
        if not any(wanted in now for now in made):
            raise SystemExit(f"of the sample, no mutant is '{wanted}': which mutmut is installed?")
    if any("int & None" in now or "Say" in now for now in made):
        raise SystemExit("the sample's annotation or docstring was mutated: they decide nothing")
