# SPDX-License-Identifier: Apache-2.0
"""What is changed in code that decides: mutmut's operators, and removals that it has none for.

Strings, annotations, decorators and assertions are left alone: they decide nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

# Typed as Any: they are installed by `make mutants` only, and are checked by running.
cst: Any = importlib.import_module("libcst")
_mutmut: Any = importlib.import_module("mutmut.mutation.mutators")

_MEASURE = 1000
Operator = Callable[[Any], Iterator[Any]]


def _opposite(node: Any) -> Iterator[Any]:
    """Turn a comparison of order round: mutmut only moves its bound."""
    turned = {
        cst.LessThan: cst.GreaterThanEqual,
        cst.LessThanEqual: cst.GreaterThan,
        cst.GreaterThan: cst.LessThanEqual,
        cst.GreaterThanEqual: cst.LessThan,
    }
    if to := turned.get(type(node.operator)):
        yield node.with_changes(operator=to())


def _number(node: Any) -> Iterator[Any]:
    """Change a count by one; a measure, which is not a count, to its double and its half."""
    value = node.evaluated_value
    count = isinstance(value, int) and abs(value) < _MEASURE
    for other in (value + 1, value - 1) if count else (value * 2, value / 2):
        exact = int(other) if isinstance(value, int) else other
        yield cst.parse_expression(f"({exact!r})" if exact < 0 else repr(exact))


def _negated(node: Any) -> Iterator[Any]:
    """Negate the condition of a branch or a loop."""
    yield node.with_changes(test=_not(node.test))


def _filtered(node: Any) -> Iterator[Any]:
    """Negate and drop what a comprehension is filtered by."""
    for n, one in enumerate(node.ifs):
        rest = (*node.ifs[:n], *node.ifs[n + 1 :])
        yield node.with_changes(
            ifs=(*node.ifs[:n], one.with_changes(test=_not(one.test)), *node.ifs[n + 1 :])
        )
        yield node.with_changes(ifs=rest)


def _no_turn(node: Any) -> Iterator[Any]:
    yield node.with_changes(iter=cst.parse_expression("()"))


def _removed(node: Any) -> Iterator[Any]:
    """Remove a statement; an assignment's variable is then unset, or what it was before."""
    for n, one in enumerate(node.body):
        if (isinstance(one, cst.Expr) and not isinstance(one.value, cst.BaseString)) or isinstance(
            one, cst.Assign | cst.AugAssign | cst.Raise | cst.Del
        ):
            yield node.with_changes(body=(*node.body[:n], cst.Pass(), *node.body[n + 1 :]))


def _returned(node: Any) -> Iterator[Any]:
    """Return something else; True and False are changed by another operator."""
    value = node.value
    if value is None:
        yield cst.Pass()
    elif isinstance(value, cst.Name) and value.value in {"True", "False"}:
        return
    elif isinstance(value, cst.Name) and value.value == "None":
        yield node.with_changes(value=cst.Integer("1"))
    elif isinstance(value, cst.SimpleString) and not value.raw_value:
        yield node.with_changes(value=cst.SimpleString('"mutant"'))
    elif isinstance(value, cst.Comparison | cst.BooleanOperation | cst.UnaryOperation):
        yield node.with_changes(value=_not(value))
    else:
        yield node.with_changes(value=cst.Name("None"))


def _element(node: Any) -> Iterator[Any]:
    """Drop one of several elements: a check of a table, a kind of a set."""
    if len(node.elements) > 1:
        for n in range(len(node.elements)):
            left = (*node.elements[:n], *node.elements[n + 1 :])
            if isinstance(node, cst.Tuple) and len(left) == 1:
                left = (left[0].with_changes(comma=cst.Comma()),)
            yield node.with_changes(elements=left)


def _caught(node: Any) -> Iterator[Any]:
    """Catch nothing that is ever raised."""
    if node.type is not None:
        yield node.with_changes(type=cst.parse_expression("ZeroDivisionError"))


def _not(test: Any) -> Any:
    if isinstance(test, cst.UnaryOperation) and isinstance(test.operator, cst.Not):
        return test.expression
    inner = test.with_changes(lpar=(cst.LeftParen(),), rpar=(cst.RightParen(),))
    return cst.UnaryOperation(operator=cst.Not(), expression=inner)


def _table() -> tuple[tuple[Any, str, Operator], ...]:
    both = cst.Integer | cst.Float
    return (
        (both, "constant", _number),
        (cst.Name, "constant", _mutmut.operator_name),
        (cst.UnaryOperation, "boolean", _mutmut.operator_remove_unary_ops),
        (cst.CSTNode, "comparison", _mutmut.operator_keywords),
        (cst.CSTNode, "operator", _mutmut.operator_swap_op),
        (cst.Match, "case removed", _mutmut.operator_match),
        (cst.IfExp, "branch", _mutmut.operator_if_exp),
        (cst.Lambda, "return", _mutmut.operator_lambda),
        (cst.ComparisonTarget, "comparison", _opposite),
        (cst.If | cst.While, "branch", _negated),
        (cst.CompFor, "filter", _filtered),
        (cst.For, "loop", _no_turn),
        (cst.SimpleStatementLine, "removed", _removed),
        (cst.Return, "return", _returned),
        (cst.Tuple | cst.List | cst.Set, "element", _element),
        (cst.Dict, "element", _element),
        (cst.ExceptHandler, "except", _caught),
    )


OPERATORS = _table()


def passed_over(node: Any) -> bool:
    """Whether nothing in this node decides: what only type checkers and importers read."""
    quiet = cst.Annotation | cst.Decorator | cst.Assert | cst.Import | cst.ImportFrom
    if isinstance(node, quiet | cst.BaseString | cst.TypeAlias):
        return not isinstance(node, cst.FormattedString)
    if isinstance(node, cst.SimpleStatementLine) and isinstance(node.body[0], cst.Assign):
        return _is_an_alias(node.body[0])
    return isinstance(node, cst.BinaryOperation) and _is_a_union(node)


def _is_an_alias(node: Any) -> bool:
    """Whether this names a type, or says something to the interpreter: `A = B[C]`, `__slots__`."""
    name, value = getattr(node.targets[0].target, "value", ""), node.value
    dunder = isinstance(name, str) and name.startswith("__")
    generic = isinstance(value, cst.Subscript) and isinstance(value.value, cst.Name)
    typed = generic and value.value.value[0].isupper()
    return dunder or typed or (isinstance(value, cst.BinaryOperation) and _is_a_union(value))


def _is_a_union(node: Any) -> bool:
    """Whether this is `A | B` of types."""
    sides = (node.left, node.right)
    return isinstance(node.operator, cst.BitOr) and all(
        (isinstance(side, cst.Name) and (side.value[0].isupper() or side.value == "None"))
        or (isinstance(side, cst.BinaryOperation) and _is_a_union(side))
        for side in sides
    )
