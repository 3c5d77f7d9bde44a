# SPDX-License-Identifier: Apache-2.0
"""From the pydantic models of lab.toml, kernel.toml and topologies to their references."""

from __future__ import annotations

import inspect
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from lab.config.enums import DisruptionKind
from lab.config.kernels import Fragments, KernelRecipe, KernelSpec, RecipeSource
from lab.config.model import LabConfig
from lab.config.topology import Grid, GuestSpec, HostSpec, Options, Topology
from lab.disruption.deliver import DEEDS

_PLAIN = {int: "whole number", float: "number", bool: "true or false", str: "text", Path: "path"}
_LAB_TOML = """\
What the lab runs, and on what. The lab reads `--lab-toml`, else `./lab.toml`, else the checkout's.
Every key may be left out. Relative paths start at the file's folder, `~` is the home folder, and
an unknown key is an error that names the nearest known one.
"""
_KERNEL_TOML = """\
A recipe is a folder `guest-images/kernels/NAME` with this file. Paths are relative to the folder.
"""
_TOPOLOGY = """\
One file `topologies/NAME.toml` each: hosts, and grids of cells over them. How to write one is in
[Add a topology](../howto/topology.md).
"""
_HEADER = "| key | value | default | meaning |\n|---|---|---|---|\n"


def lab_toml() -> str:
    """Return the reference of lab.toml and of kernel.toml, as Markdown."""
    parts = [
        "# lab.toml\n",
        _LAB_TOML,
        "## Keys of the file itself\n",
        _table(LabConfig, leave_out=_tables(LabConfig)),
    ]
    for name, model in _tables(LabConfig).items():
        parts += _section(f"[{name}]", model)
    parts += _section("[kernel.NAME]", KernelSpec)
    parts += [
        "## kernel.toml\n",
        _KERNEL_TOML,
        _table(KernelRecipe, leave_out={"source": None, "fragments": None}),
    ]
    parts += _section("[source] of kernel.toml", RecipeSource)
    parts += _section("[fragments] of kernel.toml", Fragments)
    return "\n".join(parts)


def topology() -> str:
    """Return the reference of a topology's file, as Markdown."""
    own = {"host": None, "guest": None, "cells": None}
    parts = [
        "# Topologies\n",
        _TOPOLOGY,
        "## Keys of the file itself\n",
        _table(Topology, leave_out=own),
    ]
    parts += _section("[host.NAME]", HostSpec)
    parts += _section("[guest.KIND]", GuestSpec)
    parts += _section("[[cells]]", Grid)
    parts += _section("options of [[cells]]", Options)
    parts += ["## Disruptions\n", "| disruption | what is done |\n|---|---|"]
    parts[-1] += "".join(
        f"\n| `{kind.value}` | {_first_line(DEEDS[kind])} |" for kind in DisruptionKind
    )
    return "\n".join(parts) + "\n"


def _section(title: str, model: type[BaseModel]) -> list[str]:
    said = inspect.getdoc(model) or ""
    plain = said.partition("]: ")[2] or said
    return [f"## {title}\n", f"{plain[0].upper()}{plain[1:]}\n", _table(model)]


def _tables(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Return the fields that are TOML tables of their own."""
    return {
        name: field.annotation
        for name, field in model.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }


def _table(model: type[BaseModel], leave_out: dict[str, Any] | None = None) -> str:
    rows = [
        _row(field.alias or name, field)
        for name, field in model.model_fields.items()
        if (field.alias or name) not in (leave_out or {})
    ]
    return _HEADER + "".join(rows)


def _row(key: str, field: FieldInfo) -> str:
    if not field.description:
        raise ValueError(f"{key!r} has no description")
    meaning = " ".join(field.description.split())
    cells = (f"`{key}`", _value(field), _default(field), meaning)
    return f"| {' | '.join(text.replace('|', '&#124;') for text in cells)} |\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined or value in ((), {}):
        return "none"
    if isinstance(value, BaseModel):
        said = ", ".join(f"{k} = {_toml(v)}" for k, v in value.model_dump().items() if v)
        return f"`{{{said}}}`" if said else "none"
    return "none" if value == (Options(),) else f"`{_toml(value)}`"


def _toml(value: object) -> str:  # noqa: PLR0911 - one for each kind of value
    match value:
        case bool():
            return str(value).lower()
        case Enum():
            return f'"{value.value}"'
        case str() | Path():
            return f'"{value}"'
        case tuple() if len(value) == 1 and isinstance(value[0], int):
            return _toml(value[0])
        case tuple():
            return f"[{', '.join(_toml(item) for item in value)}]"
        case float() if value.is_integer():
            return str(int(value))
        case _:
            return str(value)


def _value(field: FieldInfo) -> str:
    one_or_more = any(
        isinstance(m, BeforeValidator) and getattr(m.func, "__name__", "") == "_in_a_list"
        for m in field.metadata
    )
    if any(isinstance(m, BeforeValidator) for m in field.metadata) and not one_or_more:
        return "text or table"  # an expectation: its description has its forms
    said = _words(field.annotation)
    return f"{said.removeprefix('list of ')}, or a list" if one_or_more else said


def _words(kind: Any) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _words(inner[0])
    if origin in {Union, UnionType}:
        return _words(next(a for a in inner if a is not type(None)))
    if origin is tuple:
        return f"list of {_words(inner[0])}"
    if origin is dict or (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return "table"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return ", ".join(f'`"{word.value}"`' for word in kind)
    return _PLAIN[kind]


def _first_line(deed: object) -> str:
    return (inspect.getdoc(deed) or "").splitlines()[0]
