# SPDX-License-Identifier: Apache-2.0
"""lab.lock as text: a line a file, so that a change of the lock reads well as a diff."""

from __future__ import annotations

import json
from collections.abc import Iterator

from lab.config.lock import Lock, LockedSet

_HEAD = """\
# SPDX-License-Identifier: Apache-2.0
# What is tested, file by file. Written by `lab lock`, which adds what is missing; only
# `lab lock --update` moves it to what is newest. Not to be edited.
"""


def text(lock: Lock) -> str:
    """Return a lock as TOML.

    Args:
        lock: The lock.

    Returns:
        The text, with a line break at its end.
    """
    return "\n".join(_lines(lock)) + "\n"


def _lines(lock: Lock) -> Iterator[str]:
    yield _HEAD + f"format = {lock.format}"
    yield "\n[tools]"
    yield from (f"{_key(name)} = {_text(version)}" for name, version in lock.tools.items())
    for one in lock.debian:
        yield from _set(one)
    for commit in lock.git:
        yield "\n[[git]]"
        yield f"url = {_text(commit.url)}\nref = {_text(commit.ref)}"
        yield f"commit = {_text(commit.commit)}"
    for wheel in lock.python:
        yield "\n[[python]]"
        yield f"name = {_text(wheel.name)}\nversion = {_text(wheel.version)}"
        yield from _list("sha256", (_text(digest) for digest in wheel.sha256))


def _set(one: LockedSet) -> Iterator[str]:
    yield "\n[[debian]]"
    yield f"part = {_text(one.part)}\narch = {_text(one.arch)}"
    yield f"wanted = [{', '.join(map(_text, one.wanted))}]"
    if one.of_version is not None:
        yield f"of_version = {_text(one.of_version)}"
    yield f"suites = [{', '.join(map(_text, one.suites))}]"
    yield from _list(
        "packages",
        (
            f"{{name = {_text(p.name)}, version = {_text(p.version)}, path = {_text(p.path)}, "
            f"size = {p.size}, sha256 = {_text(p.sha256)}}}"
            for p in one.packages
        ),
    )


def _list(key: str, items: Iterator[str]) -> Iterator[str]:
    yield f"{key} = ["
    yield from (f"    {item}," for item in items)
    yield "]"


def _key(name: str) -> str:
    return name if name.replace("-", "").replace("_", "").isalnum() else _text(name)


def _text(value: str) -> str:
    return json.dumps(str(value), ensure_ascii=True)
