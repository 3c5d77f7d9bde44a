# SPDX-License-Identifier: Apache-2.0
"""Whether a run that is resumed would be one experiment: by what its cells came about; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lab.record.provenance import Provenance

_NAMES: Mapping[str, str] = {
    "lab_commit": "the lab's commit",
    "lab_dirty": "uncommitted changes in the lab",
    "lab_source": "the lab's code",
    "qemu": "QEMU",
    "libvirt": "libvirt",
    "errata": "the errors of QEMU, as [libvirt] errata says,",
    "cpu_model": "L0's processor",
    "host_cpu": "the CPU model of hosts",
    "l0_kernel": "L0's kernel",
}
_SHOWN = 20  # of a digest


def differing(then: Provenance, now: Provenance) -> Iterator[str]:
    """Find by what a cell came about that is otherwise now.

    Args:
        then: What its record says.
        now: What a cell would come about by now: `boots` has the builds that its host may boot,
            and `images` those that are known already.

    Yields:
        What differs, with both values.
    """
    for field, name in _NAMES.items():
        yield from _differ(name, _known(then, field), _known(now, field))
    for key in sorted({*then.limits, *now.limits}):
        section, _, name = key.partition(".")
        yield from _differ(f"[{section}] {name}", then.limits.get(key), now.limits.get(key))
    builds = {boot.build_id for boot in now.boots}
    for boot in then.boots:
        if boot.build_id not in builds:
            there = " or ".join(sorted(builds))
            yield f"a kernel was build {boot.build_id} ({boot.release}), and is {there} now"
    for name in sorted({*then.images, *now.images}):
        yield from _differ(f"the image '{name}'", then.images.get(name), now.images.get(name))


def _known(of: Provenance, field: str) -> object:
    """Return a field; whether a patch that is wanted can be made is known when a host boots."""
    value = getattr(of, field)
    return "applied" if field == "errata" and value == "failed" else value


def _differ(name: str, then: object, now: object) -> Iterator[str]:
    if then != now:
        yield f"{name} was {_shown(then)}, and is {_shown(now)} now"


def _shown(value: object) -> str:
    if value is None or value == "":
        return "not known"
    if isinstance(value, bool):
        return "there" if value else "not there"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 2 * _SHOWN else f"{text[:_SHOWN]}..."
