# SPDX-License-Identifier: Apache-2.0
"""What two locks differ by, in words."""

from __future__ import annotations

from collections.abc import Iterator

from lab.config.lock import Lock, LockedSet, LockedWheel

_SHOWN = 8


def between(old: LockedSet, new: LockedSet) -> str:
    """Return what differs between two sets of one wish.

    Args:
        old: Before.
        new: After.

    Returns:
        Packages with both versions; "" if all files are the same.
    """
    was = {p.name: p for p in old.packages}
    now = {p.name: p for p in new.packages}
    said = [
        _moved(name, was[name].version, now[name].version)
        for name in was.keys() & now.keys()
        if was[name].sha256 != now[name].sha256
    ]
    said += [f"without {name}" for name in was.keys() - now.keys()]
    said += [f"with {name} {now[name].version}" for name in now.keys() - was.keys()]
    return _short(sorted(said))


def of_the_rest(old: Lock, new: Lock) -> Iterator[str]:
    """Yield what differs between two locks besides Debian's packages.

    Args:
        old: Before.
        new: After.

    Yields:
        A line for each commit, each tool, and all Python packages together.
    """
    commits = {(c.url, c.ref): c.commit for c in old.git}
    for one in new.git:
        before = commits.get((one.url, one.ref))
        if before != one.commit:
            what = (
                f"{one.commit[:12]}" if before is None else _moved("", before[:12], one.commit[:12])
            )
            yield f"{one.ref} of {one.url}: {what.strip()}"
    for name, version in new.tools.items():
        if (before := old.tools.get(name)) != version:
            yield f"{name}: {version}" if before is None else _moved(name, before, version)
    if wheels := _wheels(old.python, new.python):
        yield f"Python packages: {wheels}"


def _wheels(old: tuple[LockedWheel, ...], new: tuple[LockedWheel, ...]) -> str:
    was, now = _by_name(old), _by_name(new)
    said = [_moved(n, was[n], now[n]) for n in was.keys() & now.keys() if was[n] != now[n]]
    said += [f"without {name}" for name in was.keys() - now.keys()]
    said += [f"with {name} {now[name]}" for name in now.keys() - was.keys()]
    return _short(sorted(said))


def _by_name(wheels: tuple[LockedWheel, ...]) -> dict[str, str]:
    return {wheel.name: wheel.version for wheel in wheels}


def _moved(name: str, before: str, after: str) -> str:
    if before == after:
        return f"{name} {after} (another file)"
    return f"{name} {before} -> {after}"


def _short(said: list[str]) -> str:
    more = f" and {len(said) - _SHOWN} more" if len(said) > _SHOWN else ""
    return ", ".join(said[:_SHOWN]) + more
