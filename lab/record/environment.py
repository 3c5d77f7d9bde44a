# SPDX-License-Identifier: Apache-2.0
"""Where a run ran: accelerators, kernels, images, versions; as one worker saw it, or all."""

from __future__ import annotations

from collections.abc import Mapping

from lab.record.parts import Document, Part


class AcceleratorRecord(Part):
    """What ran the L1s of one architecture, and why that one."""

    name: str
    """"kvm" or "tcg"."""
    why: str
    """Why this one was taken."""


class KernelRecord(Part):
    """One kernel of the run, so that it can be built again."""

    release: str
    """What `uname -r` says."""
    build_id: str
    """The GNU build id of its vmlinux."""
    digest: str
    """SHA-256 of the image."""
    source: str = ""
    """Where its source came from."""
    source_version: str = ""
    """The version of that source: of a package, a commit, a digest."""
    config_digest: str = ""
    """SHA-256 of its .config."""
    compiler: str = ""
    """What the compiler says of its version; "" if the lab did not build it."""
    make: tuple[str, ...] = ()
    """Variables that lab.toml has for make, as "LLVM=1"."""


class EnvironmentRecord(Document):
    """Where the run ran. Workers each note what they saw; `merged` puts that together."""

    accelerators: dict[str, AcceleratorRecord] = {}
    """What ran the L1s, by architecture."""
    kernels: dict[str, KernelRecord] = {}
    """The kernels of the run, by name and architecture."""
    images: dict[str, str] = {}
    """Digests of the other images, by name."""
    cpu_model: str | None = None
    """L0's processor."""
    qemu: str | None = None
    """L0's QEMU, by version."""
    libvirt: str | None = None
    """L0's libvirt, by version."""
    l0_kernel: str | None = None
    """L0's kernel, by release."""
    load_1m: float | None = None
    """The highest 1-minute load of L0 that was seen."""
    steal_percent: float | None = None
    """The highest share of L0's time that its own host took, in percent."""
    conflicts: tuple[str, ...] = ()
    """What two workers saw differently."""


def merged(a: EnvironmentRecord, b: EnvironmentRecord) -> EnvironmentRecord:
    """Put together what two workers saw; `a` wins, and differences are kept as conflicts."""
    conflicts = list(dict.fromkeys(a.conflicts + b.conflicts))

    def keep(what: str, one: object, other: object) -> object:
        if one is not None and other is not None and one != other:
            conflicts.append(f"{what}: one worker saw {one}, another {other}")
        return other if one is None else one

    values: dict[str, object] = {}
    for name in EnvironmentRecord.model_fields.keys() - {"schema_version", "conflicts"}:
        one, other = getattr(a, name), getattr(b, name)
        if name in {"load_1m", "steal_percent"}:
            values[name] = max((x for x in (one, other) if x is not None), default=None)
        elif isinstance(one, Mapping):
            values[name] = {
                key: keep(f"{name}.{key}", one.get(key), other.get(key))
                for key in sorted({*one, *other})
            }
        else:
            values[name] = keep(name, one, other)
    return EnvironmentRecord.model_validate({**values, "conflicts": tuple(conflicts)})
