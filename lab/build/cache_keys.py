# SPDX-License-Identifier: Apache-2.0
"""Why a key of the cache is what it is: its inputs, and how those of the nearest other differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
_SHOWN = 4
_CUT = 60
_NOTHING = object()


def manifests(home: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the artifacts of a kind that are whole.

    Args:
        home: The folder of the kind.

    Yields:
        Each one's folder, and what its manifest says; without one that cannot be read.
    """
    for path in sorted(home.glob(f"[!.]*/{MANIFEST}")):
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(facts, dict) and isinstance(facts.get("inputs"), dict):
            yield path.parent, facts


def nearest(home: Path, inputs: Mapping[str, Any]) -> tuple[Path, dict[str, Any]] | None:
    """Return the artifact of a kind whose inputs differ in the fewest places; of equals the newest.

    Args:
        home: The folder of the kind.
        inputs: The inputs of another.

    Returns:
        Its folder and its manifest; None if there is no other.
    """
    others = [one for one in manifests(home) if one[1]["inputs"] != inputs]

    def distance(one: tuple[Path, dict[str, Any]]) -> int:
        return len(differences(one[1]["inputs"], inputs))

    others.sort(key=lambda one: str(one[1].get("made", "")), reverse=True)
    return min(others, key=distance, default=None)


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what differs between two sets of inputs.

    Args:
        before: The inputs of one.
        after: Those of the other.

    Returns:
        A phrase for each input, by its name: "compiler: 'gcc 12' -> 'gcc 14'".
    """
    a, b = dict(_flat("", before)), dict(_flat("", after))
    return tuple(
        _difference(name, a.get(name, _NOTHING), b.get(name, _NOTHING))
        for name in sorted(a.keys() | b.keys())
        if a.get(name, _NOTHING) != b.get(name, _NOTHING)
    )


def why_made(home: Path, inputs: Mapping[str, Any]) -> str:
    """Return why an artifact has to be made, as a phrase.

    Args:
        home: The folder of its kind.
        inputs: Its inputs.

    Returns:
        What differs from the nearest one that is there.
    """
    other = nearest(home, inputs)
    if other is None:
        return "there is none yet"
    found = differences(other[1]["inputs"], inputs)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"unlike {other[0].name}: {'; '.join(found[:_SHOWN])}{more}"


def _flat(above: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{above}.{key}" if above else str(key), inner)
    else:
        yield above, list(value) if isinstance(value, tuple) else value


def _difference(name: str, before: object, after: object) -> str:
    if isinstance(before, list) and isinstance(after, list):
        gone = [_short(one) for one in before if one not in after]
        came = [_short(one) for one in after if one not in before]
        said = [f"without {', '.join(gone[:_SHOWN])}"] if gone else []
        said += [f"with {', '.join(came[:_SHOWN])}"] if came else []
        return f"{name}: {' and '.join(said) or 'another order'}"
    if before is _NOTHING:
        return f"{name}: added, {_short(after)}"
    if after is _NOTHING:
        return f"{name}: no more"
    return f"{name}: {_short(before)} -> {_short(after)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _CUT else f"{text[: _CUT - 3]}..."
