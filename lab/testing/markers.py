# SPDX-License-Identifier: Apache-2.0
"""From the markers of a test in a suite of one's own to the host and the guest that it wants.

`lab_host` takes the keys of a topology's [host.<name>], `lab_guest` those of `GuestMarker`.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest
from pydantic import Field, ValidationError, model_validator

from lab.config.fields import Count, Mebibytes, Model, Text, did_you_mean, wrong
from lab.config.host_request import HostRequest
from lab.config.matrix import GUEST_MEMORY_MIB
from lab.config.model import (
    MODES,
    Arch,
    GuestKind,
    HostSpec,
    LabConfig,
    Orphaning,
    OrphanPolicy,
    VmmKind,
)
from lab.config.validation_errors import model_mistake
from lab.errors import ConfigError
from lab.guest.guest import GuestPlan
from lab.guest.vmms.protocol import Vmm
from lab.guest.vmms.table import driver_for

HOST, GUEST = "lab_host", "lab_guest"
_TOPOLOGY, _ROLE = "pytest", "host"
M = TypeVar("M", bound=Model)


class GuestMarker(Model):
    """The keys of `@pytest.mark.lab_guest(...)`.

    Attributes:
        kind: What runs in the guest: Linux, or a small program of the lab's.
        vmm: What runs the guest.
        vcpus: How many it has.
        memory_mib: Its memory in MiB; None for what is enough for its kind.
        words: More words for its command line.
        orphaning: The hand-over ABI by which it may outlive its VMM; labvmm's guests only.
        policy: What its vCPUs do while it has no VMM.
    """

    kind: GuestKind = GuestKind.LINUX
    vmm: VmmKind = VmmKind.QEMU
    vcpus: Count = 1
    memory_mib: Mebibytes | None = None
    words: tuple[Text, ...] = Field(default=())
    orphaning: Orphaning | None = None
    policy: OrphanPolicy = OrphanPolicy.RUN

    @model_validator(mode="after")
    def _can_be_orphaned(self) -> Self:
        if self.orphaning and self.vmm is not VmmKind.LABVMM:
            raise wrong(
                f"guests of {self.vmm.value} cannot be orphaned", f'type vmm="{VmmKind.LABVMM}"'
            )
        return self


def host_request(item: pytest.Item, lab: LabConfig) -> HostRequest:
    """Return the host that a test asks for; what its marker leaves out is lab.toml's.

    Args:
        item: A test; its own marker counts, then its class' and its module's.
        lab: The lab.

    Returns:
        The host.

    Raises:
        ConfigError: The marker has a key or a value that there is not, or names a kernel that
            lab.toml lacks; the message names the test.
    """
    words = {"arch": Arch.X86_64, **_words(item, HOST)}
    if words["arch"] in [*MODES]:  # a list: what was typed may be of any type
        words.setdefault("mode", MODES[words["arch"]][0])
    spec = _read(item, HOST, HostSpec, words)
    kernel = lab.kernel_for(spec.kernel)
    if kernel not in lab.kernel:
        hint = did_you_mean(kernel, list(lab.kernel)) or f"there are: {', '.join(lab.kernel)}"
        raise ConfigError(f"{_where(item, HOST)}: no kernel {kernel!r} in lab.toml", hint=hint)
    return lab.host_request(_TOPOLOGY, _ROLE, spec, kernel=kernel)


def guest_request(item: pytest.Item) -> tuple[Vmm, GuestPlan]:
    """Return the guest that a test asks for.

    Args:
        item: A test; its own marker counts, then its class' and its module's.

    Returns:
        The VMM that runs it, and what it is started with.

    Raises:
        ConfigError: The marker has a key or a value that there is not; the message names the test.
    """
    said = _read(item, GUEST, GuestMarker, _words(item, GUEST))
    plan = GuestPlan(
        name=f"guest-{secrets.token_hex(4)}",
        kind=said.kind,
        vmm=said.vmm,
        vcpus=said.vcpus,
        memory_mib=said.memory_mib or GUEST_MEMORY_MIB[said.kind],
        words=said.words,
        orphan_policy=said.policy,
    )
    return driver_for(said.vmm, said.orphaning), plan


def _words(item: pytest.Item, name: str) -> dict[str, Any]:
    marker = item.get_closest_marker(name)
    if marker is not None and marker.args:
        raise ConfigError(f"{_where(item, name)}: takes keywords only", hint='arch="arm64", say')
    return dict(marker.kwargs) if marker else {}


def _read(item: pytest.Item, name: str, model: type[M], words: dict[str, Any]) -> M:
    try:
        return model.model_validate(words)
    except ValidationError as e:
        raise model_mistake(Path(_where(item, name)), model, e) from e


def _where(item: pytest.Item, name: str) -> str:
    return f"{item.nodeid}: @pytest.mark.{name}"
