# SPDX-License-Identifier: Apache-2.0
"""Flattened device trees (Devicetree Specification, format 17): from nodes to bytes."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

MAGIC, VERSION, COMPATIBLE_WITH = 0xD00DFEED, 17, 16
BEGIN_NODE, END_NODE, PROP, END = 1, 2, 3, 9
HEADER = struct.Struct(">10I")
RESERVED = bytes(16)  # no reserved memory: the entry that ends the list

Value = bytes | str | Sequence[int] | Sequence[str]


class Node(NamedTuple):
    """A node: its name with the unit address, its properties, and what is below it."""

    name: str
    properties: Mapping[str, Value]
    children: Sequence[Node] = ()


def cells64(*values: int) -> list[int]:
    """Return each value as two 32-bit cells, the higher one first."""
    return [part for value in values for part in (value >> 32, value & 0xFFFFFFFF)]


def build(root: Node, boot_cpu: int = 0) -> bytes:
    """Flatten the tree below `root`, whose name is empty."""
    names: dict[str, int] = {}
    structure = _node(root, names) + struct.pack(">I", END)
    strings = b"".join(name.encode() + b"\0" for name in names)
    at = HEADER.size
    structure_at = at + len(RESERVED)
    strings_at = structure_at + len(structure)
    header = HEADER.pack(
        *(MAGIC, strings_at + len(strings), structure_at, strings_at, at),
        *(VERSION, COMPATIBLE_WITH, boot_cpu, len(strings), len(structure)),
    )
    return header + RESERVED + structure + strings


def _node(node: Node, names: dict[str, int]) -> bytes:
    parts = [struct.pack(">I", BEGIN_NODE), _padded(node.name.encode() + b"\0")]
    for name, value in node.properties.items():
        if name not in names:
            names[name] = sum(len(known) + 1 for known in names)
        content = encode(value)
        parts.append(struct.pack(">III", PROP, len(content), names[name]) + _padded(content))
    parts += [_node(child, names) for child in node.children]
    return b"".join(parts) + struct.pack(">I", END_NODE)


def encode(value: Value) -> bytes:
    """Return a property's bytes: as they are, text, a list of texts, or 32-bit cells."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode() + b"\0"
    return b"".join(
        part.encode() + b"\0" if isinstance(part, str) else struct.pack(">I", part)
        for part in value
    )


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 4)
