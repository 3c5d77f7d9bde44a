# SPDX-License-Identifier: Apache-2.0
"""Options of a command that are the fields of one frozen record, instead of its parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from functools import wraps
from inspect import Parameter, signature
from typing import Any, get_type_hints

_RECORD = "options"


def with_options(table: type[Any]) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Return a decorator that gives a command one option for each field of `table`.

    The command takes the record itself as its keyword argument `options`; typer sees, in its
    place, one keyword parameter a field.

    Args:
        table: A dataclass; each field is `Annotated[kind, typer.Option(...)]`, with a default.

    Raises:
        TypeError: A field has no default, so that the option would be a required one.
    """
    hints = get_type_hints(table, include_extras=True)
    names = [field.name for field in fields(table)]
    if bare := [f.name for f in fields(table) if f.default is MISSING]:
        raise TypeError(f"{table.__name__}: no default for {', '.join(bare)}")
    options = [
        Parameter(f.name, Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name])
        for f in fields(table)
    ]

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        @wraps(command)
        def typed(**given: Any) -> int:
            record = table(**{name: given.pop(name) for name in names})
            return command(**given, **{_RECORD: record})

        own = signature(command, eval_str=True)
        seen: list[Parameter] = []
        for parameter in own.parameters.values():
            seen += options if parameter.name == _RECORD else [parameter]
        typed.__signature__ = own.replace(parameters=seen)  # type: ignore[attr-defined]
        typed.__annotations__ = {p.name: p.annotation for p in seen} | {"return": int}
        return typed

    return decorate
