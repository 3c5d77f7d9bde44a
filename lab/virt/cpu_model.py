# SPDX-License-Identifier: Apache-2.0
"""What QEMU makes of a CPU model: its own expansion, without a machine.

libvirt's list of a model's features is its own, and leaves out SVM's: `phenom` has nested paging
with QEMU, and not with libvirt.
"""

from __future__ import annotations

import json
import subprocess
import xml.etree.ElementTree as ET  # libvirt's own output, from no other source
from collections.abc import Mapping
from pathlib import Path

import libvirt

from lab.child_env import UMASK, child_env
from lab.config.enums import Accel, Arch
from lab.virt.connection import Connection

_PATIENCE_S = 20.0


def properties(
    connection: Connection, arch: Arch, accel: Accel, model: str
) -> Mapping[str, object] | None:
    """Ask the QEMU that libvirt uses for the properties of a CPU model.

    Args:
        connection: The libvirt.
        arch: The architecture.
        accel: What the machine would run on.
        model: The model, as QEMU names it.

    Returns:
        The properties by QEMU's names; None if libvirt's QEMU is on another machine, or does not
        say.

    Source: QEMU's QMP reference, query-cpu-model-expansion.
    """
    if not connection.uri.startswith("qemu:///"):
        return None
    kind = "kvm" if accel is Accel.KVM else "qemu"
    try:
        capabilities = connection.raw.getDomainCapabilities(None, arch.traits.qemu, None, kind)
    except libvirt.libvirtError:
        return None
    emulator = ET.fromstring(capabilities).findtext("path")  # noqa: S314 - from libvirt
    return expanded(Path(emulator), accel, model) if emulator else None


def expanded(emulator: Path, accel: Accel, model: str) -> Mapping[str, object] | None:
    """Start a QEMU without a machine, and have it expand a CPU model.

    Args:
        emulator: The QEMU.
        accel: The accelerator.
        model: The model.

    Returns:
        Its properties; None if QEMU does not say.
    """
    query = {
        "execute": "query-cpu-model-expansion",
        "arguments": {"type": "full", "model": {"name": model}},
    }
    commands = [{"execute": "qmp_capabilities"}, query, {"execute": "quit"}]
    argv = [
        str(emulator), "-S", "-no-user-config", "-nodefaults", "-display", "none",
        "-machine", f"none,accel={accel.value}", "-qmp", "stdio",
    ]  # fmt: skip
    try:
        done = subprocess.run(
            argv,
            input="".join(f"{json.dumps(command)}\n" for command in commands),
            env=child_env(),
            umask=UMASK,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return _answered(done.stdout)


def _answered(output: str) -> Mapping[str, object] | None:
    for line in output.splitlines():
        try:
            answer = json.loads(line)["return"]["model"]["props"]
        except (ValueError, KeyError, TypeError):
            continue
        return dict(answer)
    return None
