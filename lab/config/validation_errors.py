# SPDX-License-Identifier: Apache-2.0
"""The only place that turns errors of pydantic and tomllib into one sentence for the user."""

from __future__ import annotations

import re
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lab.config.fields import did_you_mean
from lab.errors import ConfigError

Loc = tuple[int | str, ...]

_EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": 'a text in "quotes"',
    "path_type": 'a path in "quotes"',
    "tuple_type": "a list in [brackets]",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}


def toml_mistake(file: Path, text: str, error: TOMLDecodeError) -> ConfigError:
    """Return the error that shows where `text` stops being TOML."""
    lines = text.splitlines() or [""]
    match = re.search(r"line (\d+)", str(error))
    number = int(match[1]) if match else len(lines)
    what = re.sub(r" \(at .*\)$", "", str(error))
    came = lines[min(number, len(lines)) - 1].strip()
    message = f"{file}: line {number}: not TOML: {what}, in: {came}"
    return ConfigError(message, hint='one `key = value` a line; texts are in "quotes"')


def model_mistake(file: Path, model: type[BaseModel], error: ValidationError) -> ConfigError:
    """Return the first thing that is wrong; a misspelt key before the gap that it leaves.

    Args:
        file: The file, for the message.
        model: The model that refused it.
        error: pydantic's errors.

    Returns:
        The error to raise, with a hint.
    """
    details = error.errors(include_url=False)
    first = next((d for d in details if d["type"] == "extra_forbidden"), details[0])
    loc = tuple(part for part in first["loc"] if part != "[key]")
    sentence, hint = _sentence(first, loc, model)
    where = key_path(loc[:-1] if first["type"] in {"extra_forbidden", "missing"} else loc)
    prefix = f"{file}: {where}: " if where else f"{file}: "
    return ConfigError(prefix + sentence, hint=hint)


def key_path(loc: Loc) -> str:
    """Return a location as users write it: `cells[2].guest`, counting from 1."""
    path = ""
    for part in loc:
        path += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _sentence(detail: ErrorDetails, loc: Loc, model: type[BaseModel]) -> tuple[str, str | None]:
    kind, came, context = detail["type"], detail["input"], detail.get("ctx", {})
    hint: str | None = None
    match kind:
        case "lab":
            sentence, hint = context["message"], context["hint"]
        case "extra_forbidden":
            known = _keys(_at(model, loc[:-1]))
            sentence = f"unknown key {loc[-1]!r}"
            hint = did_you_mean(str(loc[-1]), known) or f"known keys: {', '.join(known)}"
        case "missing":
            sentence, hint = f"{loc[-1]!r} is missing", f"add: {loc[-1]} = ..."
        case "enum":
            choices = re.findall(r"'([^']*)'", context["expected"])
            sentence = f"expected one of {', '.join(map(repr, choices))}, got {came!r}"
            hint = did_you_mean(str(came), choices) or f'type "{choices[0]}"'
        case "string_pattern_mismatch":
            sentence, hint = f"{came!r} does not have the form {context['pattern']}", _form(loc)
        case "greater_than" | "greater_than_equal":
            bound = (
                f"at least {context['ge']:g}" if "ge" in context else f"more than {context['gt']:g}"
            )
            sentence = f"must be {bound}, got {came!r}"
        case "too_short" | "string_too_short":
            sentence = f"must not be empty, got {came!r}"
        case _ if kind in _EXPECTED:
            sentence, hint = f"expected {_EXPECTED[kind]}, got {came!r}", _retyped(kind, loc, came)
        case _:
            sentence = f"{detail['msg'][0].lower()}{detail['msg'][1:]}, got {came!r}"
    return sentence, hint


def _form(loc: Loc) -> str | None:
    if loc[-1] == "sha256":
        return "`sha256sum FILE` prints it"
    return "small letters, digits, '.', '_' and '-'" if loc[0] == "kernel" else None


def _retyped(kind: str, loc: Loc, came: object) -> str | None:
    """Return the line to type, where the value is nearly right."""
    name = next((part for part in reversed(loc) if isinstance(part, str)), "")
    if kind in {"int_type", "float_type"} and re.fullmatch(r"[0-9.]+", str(came)):
        number = str(came) if kind == "float_type" else str(int(float(str(came))))
        return f"type: {name} = {number}"
    if kind in {"string_type", "path_type"} and isinstance(came, int | float):
        return f'type: {name} = "{came}"'
    if kind == "tuple_type" and isinstance(came, str):
        return f'type: {name} = ["{came}"]'
    return None


def _at(model: type[BaseModel], loc: Loc) -> Any:
    """Return the type that is at `loc` in `model`."""
    here: Any = model
    for part in loc:
        if isinstance(here, type) and issubclass(here, BaseModel):
            fields = here.model_fields
            by_key = {f.alias or name: f for name, f in fields.items()}
            here = _table(by_key[str(part)].annotation) if str(part) in by_key else None
        else:
            here = _table(get_args(here)[1 if get_origin(here) is dict else 0])
    return here


def _table(kind: Any) -> Any:
    """Return, of an annotation with alternatives, the one that has something below it."""
    if (isinstance(kind, type) and issubclass(kind, BaseModel)) or get_origin(kind) in {
        dict,
        tuple,
    }:
        return kind
    nested = (_table(each) for each in get_args(kind))
    return next((each for each in nested if each is not None), None)


def _keys(model: Any) -> list[str]:
    if isinstance(model, type) and issubclass(model, BaseModel):
        return [field.alias or name for name, field in model.model_fields.items()]
    return []
